//! Testee for the suite's fuzzing server: `autobahn_client_blocking URL AGENT`.

use fullduplex::{Config, Error, blocking::connect_with, deflate::Deflate};
use std::{env, sync::Arc};

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, agent] = arguments.as_slice() else { panic!("usage: URL AGENT") };
    // Every window that the suite may ask for.
    let deflate = Deflate::default().send_window_bits(15).receive_window_bits(15);
    let config = Arc::new(Config::default().deflate(deflate));
    let connect = |url: String| connect_with(url, config.clone());
    let mut ws = connect(format!("{url}/getCaseCount"))?;
    let count = ws.recv()?;
    let count: usize = count.as_ref().and_then(|count| count.as_text()?.parse().ok()).unwrap_or(0);
    for case in 1..=count {
        // Most cases end in an error, as they should: the suite is the judge.
        let mut ws = connect(format!("{url}/runCase?case={case}&agent={agent}"))?;
        while let Ok(Some(message)) = ws.recv() {
            if ws.send(message).is_err() {
                break;
            }
        }
    }
    let mut ws = connect(format!("{url}/updateReports?agent={agent}"))?;
    while ws.recv()?.is_some() {}
    Ok(())
}
