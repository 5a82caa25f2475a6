//! Negotiation (RFC 7692 §5 and §7.1): offers, answers and agreed parameters.

use super::Deflate;
use crate::extension::Extension;
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// The name of the extension (RFC 7692 §7).
const NAME: &str = "permessage-deflate";

const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// The window of DEFLATE itself, unless a smaller one is agreed on: 32 KiB.
pub(super) const MAX_BITS: u8 = 15;

/// The parameters of permessage-deflate that both ends agreed on (RFC 7692 §7.1).
///
/// A server gets them from [`Deflate::accept`], a client from [`Deflate::agreed`]. Give them to
/// [`Connection::with_deflate`](crate::Connection::with_deflate). The adapters do all that for you.
///
/// ```
/// use fullduplex::deflate::Deflate;
/// use fullduplex::handshake::Extension;
///
/// let offer: Extension = "permessage-deflate; server_max_window_bits=10".parse()?;
/// let params = Deflate::default().accept(&[offer]).expect("a good offer");
/// assert_eq!(params.server_max_window_bits(), 10);
/// assert_eq!(params.to_extension().to_string(), "permessage-deflate; server_max_window_bits=10");
/// # Ok::<(), fullduplex::handshake::InvalidExtension>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateParams {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    client_bits: Option<u8>,
}

impl DeflateParams {
    /// Whether the server starts each message with an empty window (§7.1.1.1).
    pub fn server_no_context_takeover(&self) -> bool {
        self.server_no_takeover
    }

    /// Whether the client starts each message with an empty window (§7.1.1.2).
    pub fn client_no_context_takeover(&self) -> bool {
        self.client_no_takeover
    }

    /// The largest window that the server may use (§7.1.2.1): 8 to 15, for 2^8 to 2^15 bytes.
    pub fn server_max_window_bits(&self) -> u8 {
        self.server_bits.unwrap_or(MAX_BITS)
    }

    /// The largest window that the client may use (§7.1.2.2): 8 to 15, for 2^8 to 2^15 bytes.
    pub fn client_max_window_bits(&self) -> u8 {
        self.client_bits.unwrap_or(MAX_BITS)
    }

    /// The form in a server's response, for
    /// [`Acceptance::extension`](crate::handshake::Acceptance::extension).
    pub fn to_extension(&self) -> Extension {
        let mut extension = AnswerWriter::new();
        extension.flag(SERVER_NO_TAKEOVER, self.server_no_takeover);
        extension.flag(CLIENT_NO_TAKEOVER, self.client_no_takeover);
        extension.bits(SERVER_BITS, self.server_bits.map(Some));
        extension.bits(CLIENT_BITS, self.client_bits.map(Some));
        extension.0
    }

    /// Reads a server's response.
    ///
    /// # Errors
    /// [`InvalidDeflate`] if RFC 7692 §7.1 does not allow it in a response.
    fn from_extension(extension: &Extension) -> Result<Self, InvalidDeflate> {
        let Parsed { server_no_takeover, client_no_takeover, server_bits, client_bits } =
            Parsed::read(extension)?;
        let client_bits = match client_bits {
            Some(None) => return Err(InvalidDeflate::Value(CLIENT_BITS.to_string())),
            bits => bits.flatten(),
        };
        Ok(Self { server_no_takeover, client_no_takeover, server_bits, client_bits })
    }

    /// The two directions as this end sees them: what it sends and what it receives.
    pub(crate) fn directions(&self, client: bool) -> (DirectionParams, DirectionParams) {
        let server = DirectionParams {
            window_bits: self.server_max_window_bits(),
            takeover: !self.server_no_takeover,
        };
        let of_client = DirectionParams {
            window_bits: self.client_max_window_bits(),
            takeover: !self.client_no_takeover,
        };
        if client { (of_client, server) } else { (server, of_client) }
    }

    /// Whether this answer, which is valid, fits an offer (§7.1).
    fn answers(&self, offer: &Parsed) -> bool {
        // §7.1.1.1 and §7.1.2.1: the answer repeats what the client asked of the server.
        (self.server_no_takeover || !offer.server_no_takeover)
            && offer
                .server_bits
                .is_none_or(|most| self.server_bits.is_some_and(|bits| bits <= most))
            // §7.1.2.2: MUST NOT be there unless it was offered; where the offer has a value, it is
            // the same or a smaller one.
            && self.client_bits.is_none_or(|bits| {
                offer.client_bits.is_some_and(|hint| hint.is_none_or(|most| bits <= most))
            })
    }

    /// The parameters in force at this end, which sends with its own settings or less.
    pub(crate) fn in_use(mut self, client: bool, settings: &Deflate) -> Self {
        let (bits, no_takeover) = match client {
            true => (&mut self.client_bits, &mut self.client_no_takeover),
            false => (&mut self.server_bits, &mut self.server_no_takeover),
        };
        *bits = Some(bits.unwrap_or(MAX_BITS).min(settings.sends_with()))
            .filter(|used| bits.is_some() || *used < MAX_BITS);
        *no_takeover |= !settings.send_takeover;
        self
    }
}

/// The parameters of one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectionParams {
    pub(crate) window_bits: u8,
    pub(crate) takeover: bool,
}

impl Deflate {
    /// A client's offers, the preferred one first, for
    /// [`Request::extension`](crate::handshake::Request::extension). With the defaults they are
    /// Chromium's, to the byte.
    ///
    /// If the settings ask something of the server, but do not [`require`](Self::require) it, a
    /// second offer asks nothing.
    ///
    /// ```
    /// use fullduplex::deflate::Deflate;
    /// use fullduplex::handshake::Request;
    ///
    /// let deflate = Deflate::default();
    /// let request = Request::new("ws://example.com/");
    /// let request = deflate.offers().into_iter().fold(request, Request::extension);
    /// // … and with the response: `deflate.agreed(response.extensions())`
    /// let [offer] = &deflate.offers()[..] else { panic!() };
    /// assert_eq!(offer.to_string(), "permessage-deflate; client_max_window_bits");
    /// ```
    pub fn offers(&self) -> Vec<Extension> {
        let asks = !self.receive_takeover || self.wish().is_some();
        let mut offers = Vec::new();
        if asks {
            offers.push(self.offer(true));
        }
        if !asks || !self.require {
            offers.push(self.offer(false));
        }
        offers
    }

    fn offer(&self, asks: bool) -> Extension {
        let mut offer = AnswerWriter::new();
        offer.flag(SERVER_NO_TAKEOVER, asks && !self.receive_takeover);
        offer.flag(CLIENT_NO_TAKEOVER, !self.send_takeover);
        offer.bits(SERVER_BITS, self.wish().filter(|_| asks).map(Some));
        // Always there, to say that we keep to a limit; with a value it is a hint.
        offer.bits(CLIENT_BITS, Some(self.hint()));
        offer.0
    }

    /// Accepts the first of the `offers` in a request that a server with these settings can accept,
    /// or returns `None` if there is none (RFC 7692 §5.1). Other extensions are ignored.
    ///
    /// ```
    /// use fullduplex::deflate::Deflate;
    /// use fullduplex::handshake::{Acceptance, UpgradeRequest};
    ///
    /// # let request = UpgradeRequest::from_parts("GET", "/", (1, 1), [
    /// #     ("Host", "example.com"), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
    /// #     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13"),
    /// #     ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
    /// # ])?;
    /// let mut acceptance = Acceptance::new();
    /// let agreed = Deflate::default().accept(request.extensions());
    /// if let Some(params) = agreed {
    ///     acceptance = acceptance.extension(params.to_extension());
    /// }
    /// # assert_eq!(request.accept(&acceptance)?.extensions().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accept(&self, offers: &[Extension]) -> Option<DeflateParams> {
        // §7: an invalid offer is declined, and the next one tried.
        ours(offers).find_map(|offer| self.accept_offer(&Parsed::read(offer).ok()?))
    }

    fn accept_offer(&self, offer: &Parsed) -> Option<DeflateParams> {
        // zlib cannot write a window of 256 bytes.
        if offer.server_bits == Some(8) {
            return None;
        }
        if self.require && self.receives_with() < MAX_BITS && offer.client_bits.is_none() {
            return None;
        }
        // §7.1.2.2: only where it was offered; a value in the offer is a hint, which spares us memory.
        let client_bits = offer
            .client_bits
            .map(|hint| hint.unwrap_or(MAX_BITS).min(self.receives_with()))
            .filter(|bits| *bits < MAX_BITS);
        // §7.1.2.1: whenever it was offered, with the same value or a smaller one; also unasked, which
        // spares the client memory.
        let server_bits = offer.server_bits.unwrap_or(MAX_BITS).min(self.sends_with());
        Some(DeflateParams {
            server_no_takeover: offer.server_no_takeover || !self.send_takeover,
            client_no_takeover: offer.client_no_takeover || !self.receive_takeover,
            server_bits: Some(server_bits)
                .filter(|bits| offer.server_bits.is_some() || *bits < MAX_BITS),
            client_bits,
        })
    }

    /// Checks the extensions in a server's response against [`offers`](Self::offers). Returns the
    /// agreed parameters, or `None` if the server does not compress.
    ///
    /// # Errors
    /// [`InvalidDeflate`] if the answer fits no offer, or RFC 7692 §7.1 does not allow it: fail the
    /// connection.
    pub fn agreed(&self, accepted: &[Extension]) -> Result<Option<DeflateParams>, InvalidDeflate> {
        agreed(&self.offers(), accepted)
    }
}

/// Like [`Deflate::agreed`], with the offers that were made. Also checks an answer of our own that
/// was made by hand.
pub(crate) fn agreed(
    offers: &[Extension],
    accepted: &[Extension],
) -> Result<Option<DeflateParams>, InvalidDeflate> {
    let mut answers = ours(accepted);
    let Some(answer) = answers.next() else { return Ok(None) };
    if answers.next().is_some() {
        return Err(InvalidDeflate::Twice);
    }
    let answer = DeflateParams::from_extension(answer)?;
    let offers: Vec<Parsed> = ours(offers).filter_map(|offer| Parsed::read(offer).ok()).collect();
    if offers.iter().any(|offer| answer.answers(offer)) {
        return Ok(Some(answer));
    }
    let unasked = answer.client_bits.is_some() && offers.iter().all(|o| o.client_bits.is_none());
    Err(match offers.is_empty() {
        true => InvalidDeflate::NotOffered(NAME.to_string()),
        false if unasked => InvalidDeflate::NotOffered(CLIENT_BITS.to_string()),
        false => InvalidDeflate::NotKept,
    })
}

/// The extensions that are permessage-deflate.
pub(crate) fn ours(extensions: &[Extension]) -> impl Iterator<Item = &Extension> {
    extensions.iter().filter(|extension| extension.name() == NAME)
}

/// Parameters that are valid in an offer (§7.1).
#[derive(Default)]
struct Parsed {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    client_bits: Option<Option<u8>>,
}

impl Parsed {
    fn read(extension: &Extension) -> Result<Self, InvalidDeflate> {
        let mut parsed = Self::default();
        for (name, value) in extension.params() {
            let invalid = || InvalidDeflate::Value(name.to_string());
            let repeated = match (name, value) {
                (SERVER_NO_TAKEOVER, None) => set(&mut parsed.server_no_takeover),
                (CLIENT_NO_TAKEOVER, None) => set(&mut parsed.client_no_takeover),
                (SERVER_BITS, Some(bits)) => {
                    parsed.server_bits.replace(window_bits(bits).ok_or_else(invalid)?).is_some()
                }
                (CLIENT_BITS, None) => parsed.client_bits.replace(None).is_some(),
                (CLIENT_BITS, Some(bits)) => {
                    let bits = window_bits(bits).ok_or_else(invalid)?;
                    parsed.client_bits.replace(Some(bits)).is_some()
                }
                (SERVER_NO_TAKEOVER | CLIENT_NO_TAKEOVER | SERVER_BITS, _) => return Err(invalid()),
                _ => return Err(InvalidDeflate::Unknown(name.to_string())),
            };
            if repeated {
                return Err(InvalidDeflate::Repeated(name.to_string()));
            }
        }
        Ok(parsed)
    }
}

/// Sets a flag. Returns whether it was set before.
fn set(flag: &mut bool) -> bool {
    core::mem::replace(flag, true)
}

/// §7.1.2: a decimal number from 8 to 15, without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

/// Writes parameters, which are all tokens and few.
struct AnswerWriter(Extension);

impl AnswerWriter {
    fn new() -> Self {
        Self(Extension::known(NAME))
    }

    fn flag(&mut self, name: &'static str, there: bool) {
        if there {
            self.0.push_known(name, None);
        }
    }

    fn bits(&mut self, name: &'static str, bits: Option<Option<u8>>) {
        if let Some(bits) = bits {
            self.0.push_known(name, bits.map(|bits| bits.to_string()));
        }
    }
}

/// An invalid answer to an offer of permessage-deflate: a client has to fail the connection (RFC
/// 7692 §7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidDeflate {
    /// A parameter that was not offered, or the whole extension.
    NotOffered(String),
    /// Accepted twice.
    Twice,
    /// A parameter that RFC 7692 does not know.
    Unknown(String),
    /// A parameter that is there twice.
    Repeated(String),
    /// A parameter with a wrong value, or without one that it needs.
    Value(String),
    /// The answer fits none of the offers: it lacks something that was asked for, or names a larger
    /// window than the offer.
    NotKept,
}

impl fmt::Display for InvalidDeflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered(name) => write!(f, "{name} was not offered"),
            Self::Twice => write!(f, "{NAME} is accepted twice"),
            Self::Unknown(name) => write!(f, "{NAME} has no parameter {name:?}"),
            Self::Repeated(name) => write!(f, "parameter {name} is repeated"),
            Self::Value(name) => write!(f, "parameter {name} has no valid value"),
            Self::NotKept => f.write_str(
                "the answer fits none of the offers: \
                 it lacks something that was asked for, or names a larger window",
            ),
        }
    }
}

impl core::error::Error for InvalidDeflate {}

/// Why [`with_deflate`](crate::Connection::with_deflate) failed. It drops the connection, which
/// could not read compressed messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeflateRefused {
    /// Parameters were agreed on before. They hold for as long as the connection lasts.
    Twice,
    /// Something was sent, queued or received before. Call it right after the opening handshake.
    Late,
}

impl fmt::Display for DeflateRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Twice => "permessage-deflate was agreed on before: call with_deflate once",
            Self::Late => {
                "something was sent or received before: \
                 call with_deflate right behind the opening handshake"
            }
        })
    }
}

impl core::error::Error for DeflateRefused {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};

    fn extension(text: &str) -> Extension {
        text.parse().unwrap()
    }

    /// `params` of permessage-deflate.
    fn deflate(params: &str) -> Extension {
        match params {
            "" => extension(NAME),
            params => extension(&format!("{NAME}; {params}")),
        }
    }

    /// What a server answers, without the name.
    fn answer(settings: &Deflate, offers: &[&str]) -> Option<String> {
        let offers: Vec<Extension> = offers.iter().map(|offer| deflate(offer)).collect();
        let text = settings.accept(&offers)?.to_extension().to_string();
        Some(text.trim_start_matches(NAME).trim_start_matches("; ").to_string())
    }

    fn largest() -> Deflate {
        Deflate::default().send_window_bits(15).receive_window_bits(15)
    }

    /// §7.1.1.1, §7.1.1.2, §7.1.2.1, §7.1.2.2: one offer, its answer.
    #[test]
    fn rfc7692_7_1_each_parameter_in_an_offer() {
        let cases = [
            ("", Some("")),
            ("server_no_context_takeover", Some("server_no_context_takeover")),
            ("client_no_context_takeover", Some("client_no_context_takeover")),
            ("server_max_window_bits=15", Some("server_max_window_bits=15")),
            ("server_max_window_bits=9", Some("server_max_window_bits=9")),
            ("server_max_window_bits=\"10\"", Some("server_max_window_bits=10")),
            ("client_max_window_bits", Some("")),
            ("client_max_window_bits=15", Some("")),
            ("client_max_window_bits=\"1\\0\"", Some("client_max_window_bits=10")),
            // We can inflate a window of 256 bytes, but not write it.
            ("client_max_window_bits=8", Some("client_max_window_bits=8")),
            ("server_max_window_bits=8", None),
            // §7: unknown, repeated, badly valued.
            ("x", None),
            ("Server_no_context_takeover", None),
            ("server_no_context_takeover; server_no_context_takeover", None),
            ("client_no_context_takeover; client_no_context_takeover", None),
            ("server_max_window_bits=10; server_max_window_bits=10", None),
            ("client_max_window_bits; client_max_window_bits=10", None),
            ("server_no_context_takeover=1", None),
            ("client_no_context_takeover=true", None),
            ("server_max_window_bits", None),
        ];
        for (offer, expected) in cases {
            assert_eq!(answer(&largest(), &[offer]).as_deref(), expected, "{offer}");
        }
        for value in ["0", "7", "16", "08", "015", "+9", "-9", "1e1", "x", "10.0", "99999999999"] {
            for name in [SERVER_BITS, CLIENT_BITS] {
                let offer = format!("{name}={value}");
                assert_eq!(answer(&largest(), &[&offer]), None, "{offer}");
            }
        }
    }

    /// §5.1: the next offer is tried; other extensions are passed over.
    #[test]
    fn rfc7692_5_1_fallback_to_the_next_offer() {
        let cases: [(&[&str], _); 5] = [
            (&["x", ""], Some("")),
            (&["server_max_window_bits=8", "server_max_window_bits=9"], Some("9")),
            (&["server_max_window_bits=0", "server_max_window_bits=8", "x=1"], None),
            (&["", "server_no_context_takeover"], Some("")),
            (&[], None),
        ];
        for (offers, expected) in cases {
            let answer = answer(&largest(), offers);
            let value = answer.as_deref().map(|a| a.trim_start_matches("server_max_window_bits="));
            assert_eq!(value, expected, "{offers:?}");
        }
        let others = ["x-webkit-deflate-frame", "permessage-deflate2"].map(extension);
        assert_eq!(largest().accept(&others), None);
        let behind = [others[0].clone(), deflate("")];
        assert!(largest().accept(&behind).is_some());
    }

    /// What a server's settings add.
    #[test]
    fn rfc7692_7_1_what_a_server_wants() {
        let offer = "client_max_window_bits; server_max_window_bits=12";
        let bits = |server, client| {
            Some(format!("server_max_window_bits={server}; client_max_window_bits={client}"))
        };
        let small = Deflate::default().send_window_bits(10).receive_window_bits(11);
        assert_eq!(answer(&small, &[offer]), bits(10, 11));
        assert_eq!(answer(&small.clone().send_window_bits(15), &[offer]), bits(12, 11));
        let hint = "client_max_window_bits=9; server_max_window_bits=9";
        assert_eq!(answer(&small, &[hint]), bits(9, 9));
        // A client that cannot be limited is taken as it is, unless the limit is required.
        assert_eq!(answer(&small, &[""]).as_deref(), Some("server_max_window_bits=10"));
        let strict = small.require(true);
        assert_eq!(answer(&strict, &[""]), None);
        assert_eq!(answer(&strict, &["", "client_max_window_bits"]), bits(10, 11));
        // With the largest window there is nothing to limit.
        assert_eq!(answer(&largest().require(true), &[""]).as_deref(), Some(""));

        // §7.1.1.1 and §7.1.1.2: both may be added unasked.
        let forgetful = largest().send_takeover(false).receive_takeover(false);
        let both = "server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer(&forgetful, &[""]).as_deref(), Some(both));
        let sender = largest().send_takeover(false);
        assert_eq!(answer(&sender, &[""]).as_deref(), Some("server_no_context_takeover"));
    }

    /// B2, §7.1.2.1: a server announces a window below the maximum even if nobody asked. §7.1.2.2:
    /// it names the client's only if that was offered.
    #[test]
    fn rfc7692_7_1_2_1_a_server_announces_its_window() {
        for bits in 9..=15 {
            let server = largest().send_window_bits(bits);
            let announced = match bits {
                15 => String::new(),
                bits => format!("server_max_window_bits={bits}"),
            };
            for offer in ["", "client_max_window_bits", "client_max_window_bits=15"] {
                assert_eq!(answer(&server, &[offer]).as_deref(), Some(&announced[..]), "{offer}");
            }
            // If it was asked for, it is always there.
            let asked = format!("server_max_window_bits={bits}");
            assert_eq!(answer(&server, &["server_max_window_bits=15"]), Some(asked));
        }
        // The answer to a browser's offer, with the defaults.
        let both = Some("server_max_window_bits=12; client_max_window_bits=12");
        assert_eq!(answer(&Deflate::default(), &["client_max_window_bits"]).as_deref(), both);
        let own = Some("server_max_window_bits=12");
        assert_eq!(answer(&Deflate::default(), &[""]).as_deref(), own);
    }

    #[test]
    fn what_a_client_offers() {
        let text = |settings: &Deflate| {
            settings.offers().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let one = "permessage-deflate; client_max_window_bits";
        // B1: Chromium's offer byte for byte, unless a setting has to show in it.
        assert_eq!(text(&Deflate::default()), [one]);
        let unseen = Deflate::default().level(9).memory_level(9).threshold(1).require(true);
        assert_eq!(text(&unseen.takeover(true)), [one]);
        assert_eq!(text(&largest()), [one]);
        let own = largest().send_window_bits(9).send_takeover(false);
        let hint = "permessage-deflate; client_no_context_takeover; client_max_window_bits=9";
        assert_eq!(text(&own), [hint]);
        let asks = largest().receive_window_bits(10).receive_takeover(false);
        let asking = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; \
                      client_max_window_bits";
        assert_eq!(text(&asks), [asking, one]);
        assert_eq!(text(&asks.require(true)), [asking]);
    }

    /// §7.1: the client's verdict on each answer.
    #[test]
    fn rfc7692_7_1_a_client_fails_on_what_it_did_not_offer() {
        use InvalidDeflate as Invalid;
        let check = |offers: &[&str], answers: &[&str]| {
            let offers: Vec<Extension> = offers.iter().map(|offer| deflate(offer)).collect();
            let answers: Vec<Extension> = answers.iter().map(|answer| deflate(answer)).collect();
            agreed(&offers, &answers)
        };
        let bits = "client_max_window_bits";
        let asks = "server_no_context_takeover; server_max_window_bits=10";
        let good: [(&[&str], &str, (u8, u8)); 12] = [
            (&[""], "", (15, 15)),
            (&[""], "server_no_context_takeover", (15, 15)),
            (&[""], "client_no_context_takeover", (15, 15)),
            (&[""], "server_max_window_bits=8", (8, 15)),
            (&[bits], "client_max_window_bits=8", (15, 8)),
            (&[bits], "", (15, 15)),
            (&["client_max_window_bits=10"], "client_max_window_bits=10", (15, 10)),
            (&["client_max_window_bits=10"], "client_max_window_bits=8", (15, 8)),
            (&["client_max_window_bits=10"], "", (15, 15)), // §7.1.2.2: it may ignore the value
            (&[asks], asks, (10, 15)),
            (&[asks], "server_no_context_takeover; server_max_window_bits=\"9\"", (9, 15)),
            (&[asks, bits], "client_max_window_bits=9", (15, 9)),
        ];
        for (offers, answer, expected) in good {
            let params = check(offers, &[answer]).unwrap().unwrap();
            let bits = (params.server_max_window_bits(), params.client_max_window_bits());
            assert_eq!(bits, expected, "{offers:?} {answer}");
            assert_eq!(params.server_no_context_takeover(), answer.contains(SERVER_NO_TAKEOVER));
            assert_eq!(params.client_no_context_takeover(), answer.contains(CLIENT_NO_TAKEOVER));
            assert_eq!(params.to_extension(), deflate(answer));
        }
        assert_eq!(check(&[""], &[]), Ok(None));

        let value = |name: &str| Invalid::Value(name.to_string());
        let bad: [(&[&str], &[&str], Invalid); 16] = [
            (&[], &[""], Invalid::NotOffered(NAME.to_string())),
            (&["x"], &[""], Invalid::NotOffered(NAME.to_string())),
            (&[""], &["", ""], Invalid::Twice),
            (&[""], &["client_max_window_bits=15"], Invalid::NotOffered(bits.to_string())),
            (&[asks], &[""], Invalid::NotKept),
            (&[asks], &["server_no_context_takeover"], Invalid::NotKept),
            (&[asks], &["server_max_window_bits=10"], Invalid::NotKept),
            (&[asks], &["server_no_context_takeover; server_max_window_bits=11"], Invalid::NotKept),
            // B3, §7.1.2.2: the same as the hint or less.
            (&["client_max_window_bits=12"], &["client_max_window_bits=13"], Invalid::NotKept),
            (
                &[
                    "server_no_context_takeover; client_max_window_bits=9",
                    "client_max_window_bits=9",
                ],
                &["server_no_context_takeover; client_max_window_bits=15"],
                Invalid::NotKept,
            ),
            (&[bits], &[bits], value(bits)),
            (&[bits], &["client_max_window_bits=7"], value(bits)),
            (&[""], &["server_max_window_bits"], value(SERVER_BITS)),
            (&[""], &["server_no_context_takeover=x"], value(SERVER_NO_TAKEOVER)),
            (&[""], &["x"], Invalid::Unknown("x".to_string())),
            (
                &[""],
                &["server_max_window_bits=9; server_max_window_bits=9"],
                Invalid::Repeated(SERVER_BITS.to_string()),
            ),
        ];
        for (offers, answers, error) in bad {
            assert_eq!(check(offers, answers), Err(error), "{offers:?} {answers:?}");
        }
    }

    /// Any two of our own ends agree.
    #[test]
    fn our_ends_agree_with_each_other() {
        let mut all = vec![];
        for bits in [9, 12, 15] {
            for takeover in [false, true] {
                for require in [false, true] {
                    let settings = Deflate::default().receive_window_bits(bits).require(require);
                    all.push(settings.send_window_bits(24 - bits).takeover(takeover));
                }
            }
        }
        for client in &all {
            for server in &all {
                let accepted = server.accept(&client.offers()).unwrap();
                let agreed = client.agreed(&[accepted.to_extension()]).unwrap().unwrap();
                assert_eq!(agreed, accepted);
                // Each end uses the parameters that it named.
                assert_eq!(accepted.in_use(false, server), accepted);
                let used = agreed.in_use(true, client);
                assert!(used.client_max_window_bits() <= client.sends_with());
                assert!(agreed.server_max_window_bits() <= client.receives_with());
                assert!(agreed.client_max_window_bits() <= server.receives_with());
                if !client.receive_takeover || !server.send_takeover {
                    assert!(agreed.server_no_context_takeover());
                }
                if !server.receive_takeover || !client.send_takeover {
                    assert!(agreed.client_no_context_takeover());
                }
            }
        }
    }
}
