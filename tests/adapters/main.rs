//! Connections in one piece over streams: what every adapter does, and what each alone.

#[path = "../support/all.rs"]
mod support;

mod blocking;
mod budgets;
mod calls;
mod futures_io;
mod keepalive;
mod methods;
mod scripted;
mod streaming;
mod tcp;
mod testing;
mod tokio_timers;
mod turns;
