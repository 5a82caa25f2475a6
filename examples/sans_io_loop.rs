//! A client and a server in one thread, with no socket and no runtime: two byte queues stand in
//! for the network.
//!
//! `sans_io_loop`

use fullduplex::{
    CloseCode, Config, Connection, Event, Input, Transport,
    handshake::{Acceptor, ClientHandshake, HeadLimits, Request, ServerHandshake},
};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    // The opening handshake: bytes in, bytes out.
    let request = Request::new("ws://localhost/chat").subprotocol("chat");
    let mut opening = ClientHandshake::new(request, &mut rand::rng())?;
    let mut wire = opening.request_bytes().to_vec();
    let mut accepting = ServerHandshake::new(HeadLimits::default());
    let request = accepting.receive(&mut Input::new(&mut wire))?.ok_or("half a request")?;
    let acceptance = Acceptor::new().subprotocols(["chat"]).answer(&request)?;
    let mut wire = request.accept(&acceptance)?.to_bytes()?;
    let response = opening.receive(&mut Input::new(&mut wire))?.ok_or("half a response")?;
    println!("open, speaking {}", response.subprotocol().unwrap_or("nothing"));

    // The connection: each turn carries what one side has to say to the other.
    let mut client = Connection::client(Config::default());
    let mut server = Connection::server(Config::default());
    client.feed("hello")?;
    client.feed(&[1, 2, 3])?;
    let mut answers = 0;
    for _turn in 0..10 {
        deliver(&mut client, &mut server, |server, event| {
            if let Event::Message(message) = event {
                println!("server: {message:?}");
                server.feed(message)?;
            }
            Ok(())
        })?;
        deliver(&mut server, &mut client, |client, event| {
            if let Event::Message(message) = event {
                println!("client: {message:?}");
                answers += 1;
                if answers == 2 {
                    client.start_close(CloseCode::NORMAL).unwrap();
                }
            }
            Ok(())
        })?;
    }
    println!("client: {:?}", client.closed().ok_or("not closed")?);
    println!("server: {:?}", server.closed().ok_or("not closed")?);
    Ok(())
}

/// Moves bytes from one side to the other, five at a time, and tells it when there are no more.
fn deliver(
    from: &mut Connection,
    to: &mut Connection,
    mut handle: impl FnMut(&mut Connection, Event<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    while !from.outbox().is_empty() {
        let mut packet = from.outbox().chunk().to_vec();
        packet.truncate(5);
        from.outbox().advance(packet.len());
        let mut input = Input::new(&mut packet);
        while let Some(event) = to.receive(&mut input)? {
            handle(to, event)?;
        }
    }
    match from.transport() {
        Transport::ShutDown => {
            from.shutdown_complete();
            to.receive_eof();
        }
        Transport::Closed => to.receive_eof(),
        _ => {}
    }
    Ok(())
}
