use fullduplex::{
    Config, Connection, Event, Input,
    deflate::{Compression, Deflate},
};
use std::time::Instant;
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    s.split(' ').next().unwrap().parse::<f64>().unwrap()
}
fn main() {
    for (size, bits) in [(200, 9), (200, 12), (200, 15), (1000, 9), (1000, 12), (1000, 15)] {
        for others in [0usize, 8] {
            let text: String = (0..)
                .map(|i| format!("{{\"id\":{},\"user\":\"u{}\"}}", i * 7919 % 1000, i % 17))
                .take(200)
                .collect::<String>()[..size]
                .into();
            let config = std::sync::Arc::new(
                Config::default()
                    .deflate(Deflate::default().send_window_bits(15).receive_window_bits(15)),
            );
            let answer = format!(
                "permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}"
            )
            .parse()
            .unwrap();
            let agreed = Deflate::default().send_window_bits(15).agreed(&[answer]).unwrap();
            let mk = || {
                let s = Connection::server(config.clone()).with_deflate(agreed);
                let c = Connection::client(config.clone()).with_deflate(agreed);
                #[cfg(new)]
                let (s, c) = (s.unwrap(), c.unwrap());
                (s, c)
            };
            let mut pairs: Vec<_> = (0..=others).map(|_| mk()).collect();
            let n = 20000;
            let mut wires = vec![];
            for round in 0..n {
                let k = round % pairs.len();
                let t = format!("{round}{text}");
                let s = &mut pairs[k].0;
                s.send_with(t, Compression::Always).unwrap();
                let o = s.outbox();
                let b = o.chunk().to_vec();
                let l = b.len();
                o.advance(l);
                wires.push(b);
            }
            let mut best = f64::MAX;
            let t = cpu();
            let _ = Instant::now();
            for (round, w) in wires.iter_mut().enumerate() {
                let k = round % pairs.len();
                let c = &mut pairs[k].1;
                let mut i = Input::new(w);
                match c.receive(&mut i) {
                    Ok(Some(Event::Message(_))) => {}
                    e => panic!("{e:?}"),
                }
            }
            best = best.min((cpu() - t) / n as f64);
            println!("{size} B {bits} bits others {others}: {best:.0} ns received");
        }
    }
}
