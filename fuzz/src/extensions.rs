//! The lists of `Sec-WebSocket-Extensions` and `Sec-WebSocket-Protocol`, and what may be answered to
//! an offer of permessage-deflate.

use crate::{
    Counting,
    grammar::{is_token, trim},
};
use fullduplex::{
    Input,
    deflate::{Deflate, DeflateParams},
    handshake::{
        Acceptance, ClientHandshake, Extension, HeadLimits, RejectionReason as Reason, Request,
        ServerHandshake, UpgradeRequest,
    },
};

/// `data` is a byte each with the settings of a server and of a client ([`settings`]), and the lines
/// of one header: as extensions offered to the server, as its answer to the client, and as
/// subprotocols. Accepted is what has the grammar of extensions.
pub fn extensions(data: &[u8]) -> bool {
    let &[server, client, ref lines @ ..] = data else { return false };
    let (server, client) = (settings(server), settings(client));
    both_ends(&server.deflate, &client.deflate);
    any_lines(&server, &client, lines)
}

/// What a server and a client make of these lines.
fn any_lines(server: &Settings, client: &Settings, lines: &[u8]) -> bool {
    let lines: Vec<&[u8]> = lines.split(|&byte| byte == b'\n').collect();
    // What no header can hold does not come this far.
    let bad = |byte: &u8| *byte == 0x7f || (*byte < b' ' && *byte != b'\t');
    if lines.iter().any(|line| line.iter().any(bad)) {
        return false;
    }
    subprotocols(&lines);
    let Some(list) = grammar(&lines) else { return false };
    offered(server, &list);
    answered(client, &list);
    true
}

/// Settings, and what of them shows in negotiation.
struct Settings {
    deflate: Deflate,
    /// As a server; a client that was given none asks for none.
    receive_bits: u8,
    asked_bits: u8,
    receive_takeover: bool,
    send_bits: u8,
    send_takeover: bool,
    require: bool,
}

/// Two bits each for the windows to send and to receive, and one each for takeover, twice, and for
/// what is required.
fn settings(options: u8) -> Settings {
    let bits = |at: u8| [Some(15), Some(9), None, Some(14)][usize::from(options >> at & 3)];
    let flag = |at: u8| options >> at & 1 == 0;
    let (send_bits, receive_bits) = (bits(0), bits(2));
    let (send_takeover, receive_takeover, require) = (flag(4), flag(5), !flag(6));
    let mut deflate = Deflate::default()
        .send_takeover(send_takeover)
        .receive_takeover(receive_takeover)
        .require(require);
    if let Some(bits) = send_bits {
        deflate = deflate.send_window_bits(bits);
    }
    if let Some(bits) = receive_bits {
        deflate = deflate.receive_window_bits(bits);
    }
    Settings {
        deflate,
        receive_bits: receive_bits.unwrap_or(12),
        asked_bits: receive_bits.unwrap_or(15),
        receive_takeover,
        send_bits: send_bits.unwrap_or(12),
        send_takeover,
        require,
    }
}

/// A parameter: its name and, where there is one, its value.
type Param = (String, Option<String>);

/// The parameters of a request with these lines.
fn request(name: &str, lines: &[&[u8]]) -> Result<UpgradeRequest, Reason> {
    let fixed: [(&str, &[u8]); 5] = [
        ("Host", b"example.com"),
        ("Upgrade", b"websocket"),
        ("Connection", b"Upgrade"),
        ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", b"13"),
    ];
    let fields = fixed.into_iter().chain(lines.iter().map(|line| (name, *line)));
    UpgradeRequest::from_parts("GET", "/", (1, 1), fields).map_err(|rejection| rejection.reason())
}

/// §9.1 against a naive reading, and the laws of lists and of printing: what was read, if anything.
fn grammar(lines: &[&[u8]]) -> Option<Vec<Extension>> {
    const NAME: &str = "Sec-WebSocket-Extensions";
    let read = request(NAME, lines).map(|request| request.extensions().to_vec());
    let expected = reference(lines);
    match (&read, &expected) {
        (Ok(read), Some(expected)) => {
            let read: Vec<_> = read.iter().map(parts).collect();
            assert_eq!(read, *expected);
        }
        (Err(Reason::Extensions), None) => {}
        unexpected => panic!("{unexpected:?}"),
    }
    // One line or many, it is one list; what differs is how many empty elements there are.
    let joined = lines.join(&b","[..]);
    if joined.iter().filter(|&&byte| byte == b',').count() < 16 {
        let joined = request(NAME, &[&joined]).map(|request| request.extensions().to_vec());
        assert_eq!(joined, read);
    }
    let read = read.ok()?;
    let printed: Vec<String> = read.iter().map(ToString::to_string).collect();
    for (printed, extension) in printed.iter().zip(&read) {
        assert_eq!(printed.parse().as_ref(), Ok(extension), "{printed}");
        let text = extension
            .params()
            .try_fold(Extension::new(extension.name()).unwrap(), |e, p| e.param(p.0, p.1));
        assert_eq!(text.as_ref(), Ok(extension));
    }
    let again = request(NAME, &[printed.join(", ").as_bytes()]).expect("what was printed");
    assert_eq!(again.extensions(), read);
    Some(read)
}

fn parts(extension: &Extension) -> (String, Vec<Param>) {
    let params = extension.params().map(|(name, value)| (name.into(), value.map(Into::into)));
    (extension.name().into(), params.collect())
}

/// §9.1: `extension-list`, in which every value has to be a token, also a quoted one. So there is
/// no comma, semicolon or equals sign but those of the list itself.
fn reference(lines: &[&[u8]]) -> Option<Vec<(String, Vec<Param>)>> {
    let token = |text: &[u8]| is_token(text).then(|| String::from_utf8_lossy(text).into_owned());
    let (mut list, mut empty) = (Vec::new(), 0);
    for line in lines {
        let mut elements: Vec<&[u8]> = line.split(|&byte| byte == b',').map(trim).collect();
        if elements.last().is_some_and(|last| last.is_empty()) {
            elements.pop(); // nothing behind the last comma
        }
        for element in elements {
            if element.is_empty() {
                empty += 1;
                continue;
            }
            let mut parts = element.split(|&byte| byte == b';').map(trim);
            let name = token(parts.next()?)?;
            let mut params = Vec::new();
            for part in parts {
                let (name, value) = match part.iter().position(|&byte| byte == b'=') {
                    Some(at) => (trim(&part[..at]), Some(trim(&part[at + 1..]))),
                    None => (part, None),
                };
                let value = match value {
                    Some([b'"', quoted @ .., b'"']) => Some(token(&unescape(quoted)?)?),
                    Some(value) => Some(token(value)?),
                    None => None,
                };
                params.push((token(name)?, value));
            }
            list.push((name, params));
        }
    }
    // Our own bounds.
    let few = list.len() <= 32 && empty <= 16 && list.iter().all(|(_, params)| params.len() <= 16);
    (few && !list.is_empty()).then_some(list)
}

/// What stands between the quotes of a `quoted-string` (RFC 9110 §5.6.4).
fn unescape(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = quoted.iter();
    let mut text = Vec::new();
    while let Some(&byte) = bytes.next() {
        text.push(if byte == b'\\' { *bytes.next()? } else { byte });
    }
    Some(text)
}

/// §11.3.4: tokens, each once, one line or many.
fn subprotocols(lines: &[&[u8]]) {
    const NAME: &str = "Sec-WebSocket-Protocol";
    let names = |request: UpgradeRequest| request.subprotocols().map(String::from).collect();
    let read: Result<Vec<String>, _> = request(NAME, lines).map(names);
    let joined = lines.join(&b","[..]);
    assert_eq!(request(NAME, &[&joined]).map(names), read);
    let (empty, list): (Vec<&[u8]>, Vec<&[u8]>) =
        joined.split(|&byte| byte == b',').map(trim).partition(|name| name.is_empty());
    let good = list.iter().all(|name| is_token(name))
        && (1..list.len()).all(|i| !list[..i].contains(&list[i]))
        && (1..=64).contains(&list.len())
        && empty.len() <= 16;
    match read {
        Ok(read) => assert!(good && read.iter().map(String::as_bytes).eq(list)),
        Err(reason) => assert!(!good && reason == Reason::Subprotocols, "{reason:?}"),
    }
}

/// What a client of ours offers, a server of ours answers so that the client takes it, and both
/// know the same: by calls, and through two heads.
fn both_ends(server: &Deflate, client: &Deflate) {
    let offers = client.offers();
    let agreed = server.accept(&offers);
    let answer: Vec<Extension> = agreed.iter().map(DeflateParams::to_extension).collect();
    assert_eq!(client.agreed(&answer), Ok(agreed));

    let request =
        offers.iter().cloned().fold(Request::new("ws://example.com/"), Request::extension);
    let mut client = ClientHandshake::new(request, &mut Counting(0)).expect("a valid request");
    let mut wire = client.request_bytes().to_vec();
    let request = ServerHandshake::new(HeadLimits::new()).receive(&mut Input::new(&mut wire));
    let request = request.expect("a good request").expect("all of it");
    assert_eq!(request.extensions(), offers);
    let acceptance = answer.iter().cloned().fold(Acceptance::new(), Acceptance::extension);
    let response = request.accept(&acceptance).expect("it was offered");
    let mut wire = response.to_bytes().expect("a valid answer");
    let response = client.receive(&mut Input::new(&mut wire)).expect("a good answer");
    assert_eq!(response.expect("all of it").extensions(), answer);
}

/// What the server makes of any offers: its answer is legal for the first that it can take.
fn offered(server: &Settings, list: &[Extension]) {
    let agreed = server.deflate.accept(list);
    let offers = list.iter().filter(|offer| offer.name() == "permessage-deflate");
    // An offer with unknown or invalid parameters MUST be declined (§7).
    let valid: Vec<Params> = offers.filter_map(Params::read).collect();
    let can = |offer: &&Params| {
        let limited = !server.require || server.receive_bits == 15 || offer.client_bits.is_some();
        offer.server_bits != Some(8) && limited // zlib has no window of 256 bytes
    };
    let (Some(agreed), Some(offer)) = (agreed, valid.iter().find(can)) else {
        assert_eq!(agreed.is_some(), valid.iter().any(|offer| can(&offer)), "{list:?}");
        return;
    };
    let answer = agreed.to_extension();
    let params = Params::read(&answer).expect("what we print is valid");
    assert!(params.answers(offer), "{answer} to {list:?}");
    assert_eq!(params.agreed(), seen(&agreed));
    // And it keeps to the settings.
    assert!(agreed.server_max_window_bits() <= server.send_bits);
    assert!(agreed.server_no_context_takeover() || server.send_takeover);
    assert!(agreed.client_no_context_takeover() || server.receive_takeover);
    if offer.client_bits.is_some() {
        assert!(agreed.client_max_window_bits() <= server.receive_bits);
    }
}

/// What the client makes of any answer to its offers: it takes those that are legal, and no other.
fn answered(client: &Settings, list: &[Extension]) {
    let offers: Vec<Params> =
        client.deflate.offers().iter().map(|offer| Params::read(offer).unwrap()).collect();
    let answers: Vec<_> = list.iter().filter(|e| e.name() == "permessage-deflate").collect();
    let agreed = client.deflate.agreed(list);
    let [answer] = answers[..] else {
        assert_eq!(agreed.ok(), answers.is_empty().then_some(None), "{list:?}");
        return;
    };
    let legal = Params::read(answer).filter(|params| {
        params.client_bits != Some(None) && offers.iter().any(|offer| params.answers(offer))
    });
    let agreed = agreed.ok().flatten();
    let known = agreed.as_ref().map(seen);
    assert_eq!(known, legal.as_ref().map(Params::agreed), "{answer}");
    if let (Some(agreed), true) = (agreed, client.require) {
        assert!(agreed.server_max_window_bits() <= client.asked_bits);
        assert!(agreed.server_no_context_takeover() || client.receive_takeover);
    }
}

/// Parameters as RFC 7692 §7.1 has them.
struct Params {
    server_alone: bool,
    client_alone: bool,
    server_bits: Option<u8>,
    client_bits: Option<Option<u8>>,
}

impl Params {
    /// §7.1: nothing else, nothing twice, no value where none belongs, a decimal number from 8 to 15
    /// without leading zeros where one does.
    fn read(extension: &Extension) -> Option<Self> {
        let (_, params) = parts(extension);
        let values = |name: &str| -> Vec<Option<String>> {
            params.iter().filter(|(other, _)| other == name).map(|(_, v)| v.clone()).collect()
        };
        let bits = |value: &str| (8..=15).find(|bits: &u8| bits.to_string() == value);
        let flag = |name| match values(name)[..] {
            [] => Some(false),
            [None] => Some(true),
            _ => None,
        };
        let all = [flag("server_no_context_takeover"), flag("client_no_context_takeover")];
        let server_bits = match &values("server_max_window_bits")[..] {
            [] => None,
            [Some(value)] => Some(bits(value)?),
            _ => return None,
        };
        let client_bits = match &values("client_max_window_bits")[..] {
            [] => None,
            [None] => Some(None),
            [Some(value)] => Some(Some(bits(value)?)),
            _ => return None,
        };
        let read = Self { server_alone: all[0]?, client_alone: all[1]?, server_bits, client_bits };
        let known = usize::from(read.server_alone)
            + usize::from(read.client_alone)
            + usize::from(server_bits.is_some())
            + usize::from(client_bits.is_some());
        (known == params.len()).then_some(read)
    }

    /// Whether this may be the answer to `offer`.
    fn answers(&self, offer: &Self) -> bool {
        let server_bits = match (offer.server_bits, self.server_bits) {
            (Some(most), Some(bits)) => bits <= most, // §7.1.2.1: the same or a smaller value
            (Some(_), None) => false,                 // and not without it
            (None, _) => true,                        // of its own accord
        };
        let alone = self.server_alone || !offer.server_alone; // §7.1.1.1
        let client_bits = match (offer.client_bits, self.client_bits.flatten()) {
            (_, None) => self.client_bits.is_none() || offer.client_bits.is_some(),
            (Some(Some(most)), Some(bits)) => bits <= most, // §7.1.2.2: the same or a smaller value
            (offered, Some(_)) => offered.is_some(),        // and only where it was offered
        };
        server_bits && alone && client_bits
    }

    /// What holds then.
    fn agreed(&self) -> (bool, bool, u8, u8) {
        let client_bits = self.client_bits.flatten().unwrap_or(15);
        (self.server_alone, self.client_alone, self.server_bits.unwrap_or(15), client_bits)
    }
}

fn seen(params: &DeflateParams) -> (bool, bool, u8, u8) {
    (
        params.server_no_context_takeover(),
        params.client_no_context_takeover(),
        params.server_max_window_bits(),
        params.client_max_window_bits(),
    )
}

/// Every value that a number of bits could have, and others, for each parameter and settings.
#[test]
fn every_value() {
    let others =
        ["", "08", "15 ", "+9", "-9", "\"10\"", "\"1\\0\"", "\"\"", "9.0", "0x9", "１0", "9_"];
    let numbers = (0..=1000).map(|number| number.to_string());
    for value in numbers.chain(others.map(String::from)) {
        for name in [
            "server_no_context_takeover",
            "client_no_context_takeover",
            "server_max_window_bits",
            "client_max_window_bits",
            "max_window_bits",
        ] {
            let text = format!("permessage-deflate; {name}={value}");
            for (server, client) in [(0, 0), (0x4a, 0x4a), (0x35, 0x05), (0x08, 0x48)] {
                any_lines(&settings(server), &settings(client), text.as_bytes());
            }
        }
    }
}
