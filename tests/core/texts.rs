//! What is printed: every error says what happened and where, hands its cause on, and shows nothing
//! of what a peer or the caller chose where that may be a secret; `Debug` never shows a payload.

use crate::common;

use common::{Random, connection};
use fullduplex::{
    CloseCause, CloseCode, CloseFrame, Config, Connection, Input, Message, MessageRef,
    ProtocolError, ProtocolErrorKind, Role, SendErrorReason, Text, TimeoutError,
    frame::{
        CloseFrameError, ControlPayload, ControlPayloadTooLong, HeaderError, InvalidCloseCode,
        OpCode, ReasonTooLong, Rsv,
    },
    handshake::{
        Acceptance, Acceptor, ClientHandshake, ClientHandshakeError, Extension, HeadError,
        HeadLimits, Headers, InvalidAcceptance, InvalidExtension, InvalidHeader, InvalidOrigin,
        InvalidRequest, InvalidResponse, InvalidSubprotocol, OriginPolicy, Rejection,
        RejectionReason, Request, Response, ServerHandshake, Url,
    },
    message::{NotText, TextPieces},
};
use std::error::Error;

/// What an error says, and what the error behind it says.
fn said(error: &dyn Error) -> (String, Option<String>) {
    (error.to_string(), error.source().map(ToString::to_string))
}

fn says(error: impl Error, text: &str) {
    assert_eq!(said(&error), (text.into(), None));
}

/// As `says`, of an error that has `cause` behind it.
fn says_why(error: impl Error, text: &str, cause: &str) {
    assert_eq!(said(&error), (text.into(), Some(cause.into())));
}

/// RFC 6455 §5.2, §5.5, §7.4.
#[test]
fn errors_of_frames() {
    says(HeaderError::ReservedOpCode(0xb), "reserved opcode 0xb");
    says(HeaderError::FragmentedControl(OpCode::Ping), "fragmented Ping frame");
    says(
        HeaderError::ControlTooLong(OpCode::Close),
        "Close frame with more than 125 bytes of payload",
    );
    says(HeaderError::NonMinimalLength(125), "payload length 125 is not in its shortest form");
    says(
        HeaderError::LengthTopBit(1 << 63),
        "payload length 0x8000000000000000 has its top bit set",
    );
    says(ControlPayloadTooLong(126), "a control frame holds at most 125 bytes, not 126");
    says(ReasonTooLong(124), "a close reason holds at most 123 bytes, not 124");
    let code = InvalidCloseCode(1005);
    says(code, "close code 1005 may not be sent: use 1000, or one from 3000 to 4999");
    says(CloseFrameError::Truncated, "Close frame with a body of one byte");
    let text = "Close frame with code 1005, which may not be sent";
    says_why(
        CloseFrameError::Code(code),
        text,
        "close code 1005 may not be sent: use 1000, or one from 3000 to 4999",
    );
    let Err(error @ CloseFrameError::Reason(cause)) = CloseFrame::decode(b"\x03\xe8a\xff") else {
        panic!("a reason that is UTF-8");
    };
    let text = format!("Close frame with a reason that is not UTF-8: {cause}");
    says_why(error, &text, &cause.to_string());
}

/// RFC 6455 §5.5.1: a reason is for logs, and must not be able to forge lines of them.
#[test]
fn codes_and_close_frames() {
    assert_eq!(format!("{} {:?}", CloseCode::NORMAL, CloseCode::NORMAL), "1000 NORMAL(1000)");
    let own = CloseCode::new(4321).unwrap();
    assert_eq!(format!("{own} {own:?}"), "4321 CloseCode(4321)");
    assert_eq!(CloseFrame::from(own).to_string(), "4321");
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "line\nfeed").unwrap();
    assert_eq!(frame.to_string(), r"1001 (line\nfeed)");
}

/// RFC 6455 §7.1.7: what goes into the log, and into the reason of the Close.
#[test]
fn errors_of_the_protocol() {
    use ProtocolErrorKind as Kind;
    let plain = [
        (Kind::ReservedBits(Rsv::RSV2), "reserved bit set without an extension"),
        (Kind::Unmasked(OpCode::Text), "Text frame from a client is not masked"),
        (Kind::Masked(OpCode::Pong), "Pong frame from a server is masked"),
        (Kind::NothingToContinue, "continuation without a message"),
        (Kind::MessageInsideMessage(OpCode::Text), "Text frame inside a fragmented message"),
        (Kind::InvalidUtf8, "text is not UTF-8"),
        (Kind::InvalidDeflate, "compressed message cannot be inflated"),
        (Kind::TooManyStreams, "compressed message of too many streams"),
        (Kind::FrameTooBig { size: 9, limit: 8 }, "frame of 9 bytes is over the limit of 8"),
        (
            Kind::MessageTooBig { size: 9, limit: 8 },
            "message of 9 bytes or more is over the limit of 8",
        ),
        (Kind::TooManyFragments { limit: 3 }, "message of more than 3 frames"),
        (Kind::Header(HeaderError::ReservedOpCode(3)), "reserved opcode 0x3"),
        (Kind::CloseFrame(CloseFrameError::Truncated), "Close frame with a body of one byte"),
    ];
    for (kind, text) in plain {
        assert_eq!(kind.to_string(), text);
    }

    let fails = |bytes: &[u8]| -> ProtocolError {
        let mut bytes = [b"\x81\x00", bytes].concat();
        let mut input = Input::new(&mut bytes);
        let mut client = connection(Role::Client, Config::default());
        assert!(client.receive(&mut input).unwrap().is_some());
        client.receive(&mut input).unwrap_err()
    };
    says(fails(b"\x80\x00"), "continuation without a message, in the frame at byte 2");
    let text = "reserved opcode 0x3, in the frame at byte 2";
    says_why(fails(b"\x83\x00"), text, "reserved opcode 0x3");
    let body = "Close frame with a body of one byte";
    says_why(fails(b"\x88\x01\x03"), &format!("{body}, in the frame at byte 2"), body);
}

#[test]
fn errors_of_the_caller_and_of_time() {
    let closed = "this endpoint has closed the connection";
    says(CloseCause::Local, closed);
    says(CloseCause::Remote(None), "the peer closed the connection without a code");
    let frame = CloseFrame::new(CloseCode::NORMAL, "bye").unwrap();
    let text = "the peer closed the connection with 1000 bye";
    says(SendErrorReason::Closed(CloseCause::Remote(Some(frame))), text);
    says(CloseCause::Abnormal, "the connection ended without a Close frame");
    let pong = "nothing came from the peer in time after a keepalive ping";
    says_why(CloseCause::TimedOut(TimeoutError::Pong), pong, pong);
    let full = "too many bytes wait to be written: wait until the connection is ready";
    says(SendErrorReason::Full, full);
    let unfinished = "a message in fragments is not finished: send its last fragment first";
    says(SendErrorReason::Unfinished, unfinished);
    let text = "the text message would not be UTF-8: send bytes as a binary message";
    says(SendErrorReason::InvalidUtf8, text);
    let mut connection = Connection::server(Config::default());
    connection.start_close(None).unwrap();
    says(connection.feed("x").unwrap_err(), closed);

    says(TimeoutError::Pong, pong);
    let idle = "no message was sent or received within the idle timeout";
    says(TimeoutError::Idle, idle);
    says(TimeoutError::Close, "the peer did not answer the Close within the close timeout");
    let handshake = "the opening handshake took longer than the handshake timeout";
    says(TimeoutError::Handshake, handshake);
    says(NotText, "a chunk that is not text, or that does not follow the one before it");
}

/// RFC 6455 §3, §4.1, §4.2.1, §9.1, §10.2.
#[test]
fn errors_of_what_one_asks_for() {
    let urls = [
        ("http://h", "it has to start with ws:// or wss:// (at byte 0)"),
        ("ws://h#", "fragments are not allowed; a literal # is written %23 (at byte 6)"),
        ("ws:///", "the host is missing (at byte 5)"),
        ("ws://a_\"b", "the host has a character that host names cannot have (at byte 7)"),
        ("ws://ü", "the host is not ASCII; write it in its Punycode form (xn--…) (at byte 5)"),
        (
            "ws://1.2.3",
            "the host ends in a number, but is not an IPv4 address like 127.0.0.1 (at byte 5)",
        ),
        (
            "ws://[::g]",
            "the host in brackets is not an IPv6 address (a zone is written %25eth0) (at byte 6)",
        ),
        ("ws://h:0", "the port is not a number from 1 to 65535 (at byte 7)"),
        ("ws://a:\u{7f}@h", "a character has to be percent-escaped (at byte 7)"),
        ("ws://h/%2", "a % is not followed by two hexadecimal digits (at byte 7)"),
        ("ws://h/<", "a character has to be percent-escaped (at byte 7)"),
        ("ws://%0a@h", "the user name or password has a byte that cannot be sent (at byte 5)"),
    ];
    for (url, text) in urls {
        let text = format!("not a WebSocket URL: {text}");
        says(Url::parse(url).unwrap_err(), &text);
        says_why(Request::new(url).url().unwrap_err(), &text, &text);
    }

    let name = InvalidHeader::Name("a b".into());
    says(name.clone(), "\"a b\" is not a header name");
    let value = InvalidHeader::Value { name: "X".into(), at: 3, byte: 0x0a };
    says(value.clone(), "header X has the control byte 0x0a at byte 3 of its value");
    let twice = InvalidSubprotocol::Repeated("chat".into());
    says(twice.clone(), "subprotocol \"chat\" is offered twice");
    says(
        InvalidSubprotocol::NotToken("a b".into()),
        "subprotocol \"a b\" is not a token: use letters, digits and -",
    );
    says(InvalidSubprotocol::Empty, "the list of subprotocols is empty");
    says(InvalidSubprotocol::TooMany, "more than 64 subprotocols");
    let syntax = InvalidExtension::Syntax { at: 7 };
    says(syntax.clone(), "malformed list of extensions at byte 7");
    says(
        InvalidExtension::NotToken("a b".into()),
        "\"a b\" is not a token: use letters, digits and -",
    );
    says(InvalidExtension::Empty, "the list of extensions is empty");
    says(InvalidExtension::TooMany, "more than 32 extensions");
    says(InvalidExtension::TooManyParams, "more than 16 parameters of one extension");
    let origin = "\"example.com\" is not an origin: write scheme://host or scheme://host:port";
    says(OriginPolicy::list(["example.com"]).unwrap_err(), origin);
    assert_eq!(InvalidOrigin("example.com".into()).to_string(), origin);
    let origin =
        "\"wss://h\" is not an origin: write the address of the page, with http:// or https://";
    says(OriginPolicy::list(["wss://h"]).unwrap_err(), origin);

    let reserved = "header \"Host\" is written by the library: leave it out";
    says(InvalidRequest::Reserved("Host".into()), reserved);
    says(
        InvalidRequest::Repeated("Origin".into()),
        "header \"Origin\" is given twice: one is allowed",
    );
    says_why(InvalidRequest::Header(name.clone()), &name.to_string(), &name.to_string());
    says_why(InvalidRequest::Subprotocol(twice.clone()), &twice.to_string(), &twice.to_string());

    says(InvalidResponse::Status(101), "status 101 cannot refuse an upgrade: use 200 to 599");
    says(InvalidResponse::Reserved("Host".into()), reserved);
    says(InvalidResponse::Body(304), "a response with status 304 has no body");
    let frames = "a response with status 101 has no body: frames follow it";
    says(InvalidResponse::Body(101), frames);
    says_why(InvalidResponse::Header(value.clone()), &value.to_string(), &value.to_string());

    let off = "permessage-deflate is given by hand, but not turned on: set Config::deflate (feature \
               `deflate`), which negotiates it by itself";
    says(InvalidRequest::DeflateOff, off);

    use InvalidAcceptance as Invalid;
    says(Invalid::DeflateOff, off);
    says(Invalid::SubprotocolNotOffered("a".into()), "the client did not offer subprotocol \"a\"");
    says(Invalid::ExtensionNotOffered("a".into()), "the client did not offer extension \"a\"");
    says(Invalid::Reserved("Host".into()), reserved);
    says_why(Invalid::Subprotocol(twice.clone()), &twice.to_string(), &twice.to_string());
    says_why(Invalid::Header(name.clone()), &name.to_string(), &name.to_string());
}

/// RFC 9110, 9112; RFC 6455 §4.1.
#[test]
fn errors_of_what_came() {
    let large = HeadError::TooLarge { limit: 9 };
    says(large.clone(), "HTTP head of more than 9 bytes");
    says(HeadError::TooManyHeaders { limit: 9 }, "more than 9 header fields");
    says(HeadError::TargetTooLong { limit: 9 }, "target of more than 9 bytes");
    says(HeadError::NotHttp, "the first bytes are not HTTP");
    let tls =
        "the first byte is one of TLS, not of HTTP: one end speaks wss:// and the other ws://";
    says(HeadError::Tls, tls);
    says(HeadError::Version, "unsupported HTTP version");
    let invalid = HeadError::Invalid { what: "CR without LF", position: 5 };
    says(invalid, "invalid HTTP head: CR without LF (noticed at byte 5)");

    use ClientHandshakeError as Client;
    let syntax = InvalidExtension::Syntax { at: 7 };
    says(
        Client::Refused(Box::new(Response::new(404))),
        "the server answered 404 Not Found, not 101",
    );
    // B9: what the server says, and what it usually comes from.
    let proxy = " (a proxy may not pass the upgrade on: in nginx set `proxy_http_version 1.1` and \
                 the headers Upgrade and Connection)";
    let refused = |response: Response, text: &str| {
        let text = format!("the server answered {response}, not 101{text}");
        says(Client::Refused(Box::new(response)), &text);
    };
    refused(Response::new(403).with_body("who are\u{1b} you?\n\nx"), r#": "who are\u{1b} you?""#);
    refused(Response::new(400).with_body("<html>\n<b>Bad</b>"), r#": "Bad""#);
    refused(Response::new(505), proxy);
    refused(Response::new(426).with_body("x"), &format!(": \"x\"{proxy}"));
    refused(Response::new(200), " (is there a WebSocket at this URL?)");
    refused(Response::new(302), " (redirects are not followed: use the URL in Location)");
    says(Client::Eof { received: 0 }, "the connection ended without a response");
    says(Client::Eof { received: 7 }, "the connection ended 7 bytes into the response's head");
    says(Client::TimedOut { received: 0 }, "the server did not answer in time");
    says(Client::TimedOut { received: 7 }, "the server sent only 7 bytes of its response in time");
    says(Client::TooManyInterim, "more than 8 interim (1xx) responses");
    let missing = |field, what| format!("{field} in the 101 response is missing, {what}");
    says(Client::Upgrade, &missing("Upgrade", "repeated, or not \"websocket\""));
    says(Client::Connection, &missing("Connection", "or does not list \"Upgrade\""));
    let wrong = "repeated, or does not answer the key";
    says(Client::Accept, &missing("Sec-WebSocket-Accept", wrong));
    says(
        Client::SubprotocolNotOffered("a".into()),
        "the server chose subprotocol \"a\", which was not offered",
    );
    says(Client::RepeatedSubprotocol, "the server chose two subprotocols");
    says(Client::NoSubprotocol, "the server chose none of the offered subprotocols");
    says(
        Client::ExtensionNotOffered("a".into()),
        "the server chose extension \"a\", which was not offered",
    );
    says(Client::Finished, "the handshake is over: start a new one");
    let text = "no valid HTTP response: HTTP head of more than 9 bytes";
    says_why(Client::Head(large.clone()), text, &large.to_string());
    let text = "Sec-WebSocket-Extensions is malformed: malformed list of extensions at byte 7";
    says_why(Client::Extensions(syntax.clone()), text, &syntax.to_string());
}

/// RFC 7692 §7.1.
#[cfg(feature = "deflate")]
#[test]
fn errors_of_compression() {
    use fullduplex::deflate::InvalidDeflate as Invalid;
    let value = Invalid::Value("server_max_window_bits".into());
    let text = "parameter server_max_window_bits has no valid value";
    says(value.clone(), text);
    says(Invalid::NotOffered("permessage-deflate".into()), "permessage-deflate was not offered");
    says(Invalid::Twice, "permessage-deflate is accepted twice");
    use fullduplex::deflate::DeflateRefused as Refused;
    let twice = "permessage-deflate was agreed on before: call with_deflate once";
    says(Refused::Twice, twice);
    let late = "something was sent or received before: \
                call with_deflate right behind the opening handshake";
    says(Refused::Late, late);
    says(Invalid::Unknown("a".into()), "permessage-deflate has no parameter \"a\"");
    says(Invalid::Repeated("a".into()), "parameter a is repeated");
    says(
        Invalid::NotKept,
        "the answer fits none of the offers: it lacks something that was asked for, or names a \
         larger window",
    );
    says_why(InvalidAcceptance::Deflate(value.clone()), text, text);
    let answer = format!("the server answered the offer of compression wrongly: {text}");
    says_why(ClientHandshakeError::Deflate(value), &answer, text);
}

/// The head that a browser sends, with `fields` of its own.
fn rejected(fields: &str) -> Rejection {
    let mut head = format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n").into_bytes();
    ServerHandshake::new(HeadLimits::new()).receive(&mut Input::new(&mut head)).unwrap_err()
}

/// RFC 6455 §4.2.1, §9.1: the log has the cause.
#[test]
fn rejections_say_why() {
    let ours = "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let text = "upgrade request rejected with 426: this server speaks only WebSocket: send \
                the headers Upgrade and Connection (a proxy may have dropped them)";
    says(rejected("Host: h"), text);
    let cause = "invalid HTTP head: white space in or after a header name (noticed at byte 17)";
    let text = "upgrade request rejected with 400: malformed HTTP request";
    says_why(rejected("a b: c"), &format!("{text}: {cause}"), cause);
    says_why(
        rejected(&format!("{ours}Sec-WebSocket-Protocol: a, a")),
        "upgrade request rejected with 400: Sec-WebSocket-Protocol is invalid",
        "subprotocol \"a\" is offered twice",
    );
    let rejection = rejected(&format!("{ours}Sec-WebSocket-Extensions: a=b"));
    let (why, cause) =
        ("Sec-WebSocket-Extensions is invalid", "malformed list of extensions at byte 1");
    says_why(
        rejection.clone(),
        &format!("upgrade request rejected with 400: {why}: {cause}"),
        cause,
    );
    assert_eq!(rejection.response().body(), format!("{why}: {cause}\n").as_bytes());
    // B9: nginx without `proxy_http_version 1.1`, and TLS to a port without.
    let raw = |head: &[u8]| {
        let mut server = ServerHandshake::new(HeadLimits::new());
        server.receive(&mut Input::new(&mut head.to_vec())).unwrap_err()
    };
    let text = raw(b"GET / HTTP/1.0\r\n").to_string();
    assert!(
        text.ends_with("(a proxy may use 1.0: in nginx set `proxy_http_version 1.1`)"),
        "{text}"
    );
    let text = raw(b"\x16\x03\x01").to_string();
    assert!(text.contains("the first byte is one of TLS, not of HTTP"), "{text}");
    let fields = [("a b", "c")];
    let rejection =
        fullduplex::handshake::UpgradeRequest::from_parts("GET", "/", (1, 1), fields).unwrap_err();
    assert_eq!(rejection.source().unwrap().to_string(), "\"a b\" is not a header name");
    assert_eq!(RejectionReason::TimedOut.to_string(), "the request took too long");
}

/// No payload, whatever holds it: logs travel further than messages.
#[test]
fn payloads_are_never_printed() {
    let secret = "s3cret";
    let mut bytes =
        [b"\x01\x03s3c\x80\x03ret", &b"\x82\x06s3cret\x89\x06s3cret\x8a\x06s3cret"[..]].concat();
    let mut client = connection(Role::Client, Config::default());
    let mut input = Input::new(&mut bytes);
    assert_eq!(format!("{input:?}"), "Input(34 bytes)");
    let mut seen = Vec::new();
    while let Some(event) = client.receive(&mut input).unwrap() {
        assert_eq!(format!("{event:?}"), format!("{:?}", event.clone().into_owned()));
        seen.push(format!("{event:?}"));
    }
    assert_eq!(seen, ["Text(6 bytes)", "Binary(6 bytes)", "Ping(6 bytes)", "Pong(6 bytes)"]);
    let mut close = *b"\x88\x02\x03\xe8";
    let event = client.receive(&mut Input::new(&mut close)).unwrap();
    let text = r#"Some(Close(Some(CloseFrame { code: NORMAL(1000), reason: "" })))"#;
    assert_eq!(format!("{event:?}"), text);

    let mut chunk = *b"\x01\x06s3cret";
    let mut client = connection(Role::Client, Config::default());
    let event = client.receive_chunk(&mut Input::new(&mut chunk)).unwrap().unwrap();
    let text = "Chunk { text: true, first: true, last: false, len: 6 }";
    assert_eq!(format!("{event:?}"), text);
    assert_eq!(format!("{:?}", event.into_owned()), text);
    assert_eq!(format!("{:?}", TextPieces::new()), "TextPieces { held: 0 }");

    assert_eq!(format!("{:?}", Text::from(secret)), "Text(6 bytes)");
    assert_eq!(format!("{:?}", Message::from(secret)), "Text(6 bytes)");
    assert_eq!(format!("{:?}", Message::from(secret.as_bytes())), "Binary(6 bytes)");
    assert_eq!(format!("{:?}", MessageRef::Text(secret)), "Text(6 bytes)");
    assert_eq!(format!("{:?}", MessageRef::Binary(secret.as_bytes())), "Binary(6 bytes)");
    let ping = ControlPayload::new(secret.as_bytes()).unwrap();
    assert_eq!(format!("{ping:?}"), "ControlPayload(6 bytes)");

    let mut server = Connection::server(Config::default());
    server.feed(secret).unwrap();
    assert_eq!(format!("{:?}", server.outbox()), "Outbox(8 bytes)");
    let text = "Connection { role: Server, open: true, closed: None, outbox: Outbox(8 bytes), .. }";
    assert_eq!(format!("{server:?}"), text);
    // Text itself is printed by whoever asks for it.
    assert_eq!(Text::from(secret).to_string(), secret);
}

/// Neither credentials nor tokens, and no body.
#[test]
fn handshakes_are_printed_without_secrets() {
    let url = "ws://me:s3cret@Example.com/chat?token=s3cret";
    let request = Request::new(url)
        .header("Cookie", "s3cret")
        .header("X", "seen")
        .subprotocol("chat")
        .extension(Extension::new("foo").unwrap().param("a", Some("1")).unwrap())
        .require_subprotocol(true);
    let text = format!("{request:?}");
    assert!(!text.contains("s3cret"), "{text}");
    for part in ["Url(ws://<hidden>@example.com/chat?<hidden>)", "seen", "chat", "foo", "true"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(request.extensions()[0].to_string(), "foo; a=1");
    let parsed = Url::parse(url).unwrap();
    assert_eq!(parsed.to_string(), "ws://example.com/chat?token=s3cret"); // it is asked for
    assert_eq!(format!("{:?}", Url::parse("ws://h").unwrap()), "Url(ws://h/)");

    let mut client = ClientHandshake::new(request, &mut Random::new(1)).unwrap();
    assert_eq!(format!("{client:?}"), "ClientHandshake { state: \"Head\", .. }");
    let mut wire = client.request_bytes().to_vec();
    let mut server = ServerHandshake::new(HeadLimits::new());
    assert_eq!(
        format!("{server:?}"),
        "ServerHandshake { state: Head(HeadReader { kind: Request, received: 0, .. }) }"
    );
    let asked = server.receive(&mut Input::new(&mut wire)).unwrap().unwrap();
    let text = format!("{asked:?}");
    assert!(!text.contains("s3cret") && text.contains("/chat?<hidden>"), "{text}");
    let acceptor = Acceptor::new().header("Set-Cookie", "s3cret");
    assert!(!format!("{acceptor:?} {:?}", acceptor.answer(&asked)).contains("s3cret"));
    assert!(!format!("{:?}", Acceptance::new().header("Set-Cookie", "s3cret")).contains("s3cret"));

    let refusal = Response::new(401).with_header("Set-Cookie", "s3cret").with_body("s3cret");
    let text = format!("{refusal:?}");
    assert!(
        !text.contains("s3cret") && text.contains("401") && text.contains("<6 bytes>"),
        "{text}"
    );
    assert_eq!(refusal.to_string(), "401 Unauthorized");
    let mut wire = refusal.to_bytes().unwrap();
    let mut body = wire.split_off(wire.len() - 3);
    assert_eq!(client.receive(&mut Input::new(&mut wire)), Ok(None));
    assert_eq!(format!("{client:?}"), "ClientHandshake { state: \"Body\", .. }");
    assert!(client.receive(&mut Input::new(&mut body)).is_err());
    assert_eq!(format!("{client:?}"), "ClientHandshake { state: \"Done\", .. }");

    let mut headers = Headers::new();
    headers.append("Cookie", "s3cret").unwrap();
    headers.append("X", "seen").unwrap();
    assert_eq!(format!("{headers:?}"), r#"{"Cookie": <6 bytes hidden>, "X": "seen"}"#);
}
