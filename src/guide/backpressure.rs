//! Back-pressure: the result of each call while the peer reads nothing.
//!
//! Such a peer is slow, busy, waiting, or dead. Its socket is full, and your messages wait in the
//! outbox. Two numbers bound that backlog. At the [mark](crate::Config::unsent_mark), 256 KiB, you
//! should wait. At the [limit](crate::Config::max_unsent), 1 MiB, nothing more is accepted. An empty
//! backlog is under both, whatever they are. Only the backlog before a message counts, not its own
//! size. So at most the limit, one message and some control frames wait.
//!
//! # The core
//! [`Connection`](crate::Connection) never waits. It refuses:
//!
//! | call | empty, or under the mark | from the mark on | from the limit on |
//! |---|---|---|---|
//! | `is_ready` | true | false | false |
//! | `feed`, `feed_fragment`, `ping`, `pong` | accepted, of any size | accepted, of any size | [`Full`](crate::SendErrorReason::Full); the message is handed back |
//! | `receive` of a ping | its pong is queued | the same | the same; from 16 unwritten pongs on, only the newest ping is answered |
//! | `start_close`, answering a Close, failing | the Close is queued, behind all that waits | the same | the same |
//! | a keepalive ping | queued | the same | the same |
//! | `receive` of messages | delivered | delivered | delivered |
//!
//! # `WebSocket`, async
//! "Waits" means that the future is pending. Except in `recv` and `close`, nothing is received while a
//! call waits: no ping is answered, no Close is noticed. Arrived input is read once more before a
//! deadline gives the peer up.
//!
//! | call | empty, or under the mark | from the mark on | from the limit on |
//! |---|---|---|---|
//! | `is_ready` | true | false | false |
//! | `ready` | returns | waits | waits |
//! | `send` | queues, then waits until all is written | waits for room with its message in hand, then queues | the same |
//! | `send` with [`BeforeWait`](crate::FlushPolicy::BeforeWait) | queues | waits for room with its message in hand, then queues | the same |
//! | `send_fragment` | as `send` | as `send` | as `send` |
//! | `feed` | queues | queues | hands the message back |
//! | `ping`, `pong` | queues, then waits until all is written | waits for room, then queues | the same |
//! | `flush` | waits until all is written; returns if nothing waits | waits | waits |
//! | `recv`, `drain` | gives messages, or discards them; answers pings | the same | the same; from 16 unwritten pongs on, only the newest ping is answered |
//! | `run` | reads and calls the handler | waits, reads nothing | the same |
//! | `start_close` | queues the Close | the same | the same |
//! | `close` | queues the Close, waits for the end, discards messages | the same | the same |
//!
//! # `Writer` and `Reader`, async
//! A writer that waits does not stop the reader. While no reader is in a call, a writer answers pings
//! and notices a Close itself, as long as no message comes before them.
//!
//! | call | empty, or under the mark | from the mark on | from the limit on |
//! |---|---|---|---|
//! | `Writer::ready`, `send`, `send_fragment`, `feed`, `ping`, `pong`, `flush` | as of `WebSocket` | the same; writers that wait for room take turns | the same |
//! | `Writer::start_close` | queues the Close, writes what the stream takes | the same | the same |
//! | `Writer::close` | queues the Close, waits for the end; messages are the reader's | the same | the same |
//! | `Reader::recv`, `drain` | gives messages, or discards them; answers pings, writes what it can | the same | the same |
//! | `Broadcast::send`, [`Wait`](crate::tokio::SlowConsumer::Wait) | queues | waits for room | waits for room |
//! | `Broadcast::send`, [`DropMessage`](crate::tokio::SlowConsumer::DropMessage) | queues | drops and counts it | drops and counts it |
//! | `Broadcast::send`, [`KeepLatest`](crate::tokio::SlowConsumer::KeepLatest) | queues | keeps it for the member, in the place of the one kept before; it goes out as soon as there is room | the same |
//! | `Broadcast::send`, [`Disconnect`](crate::tokio::SlowConsumer::Disconnect) | queues | the member leaves, a Close is queued | the same |
//!
//! A group tries to write a member's backlog before it treats the member as slow. If no reader drives
//! the connection and the stream takes some of the backlog, the message is queued, up to the limit.
//! While a member is inside a message in fragments, the group's messages wait behind that message, in
//! order. Each counts as unsent, with 64 bytes more.
//!
//! # Blocking
//! As above; "waits" means that the call blocks. There is one difference. On an unsplit
//! [`WebSocket`](crate::blocking::WebSocket), `recv` and `run` write the backlog before they read, and
//! block in that write until a deadline interrupts it; keepalive does so every quarter of its interval.
//! The standard library cannot wait for both directions. A [`Reader`](crate::blocking::Reader) gives a
//! write 10 ms, then reads, and tries again every 100 ms.
//!
//! # What ends the wait
//! Deadlines run while a call waits. When one passes, the call returns its error, the connection is
//! over, and `unsent` says how much was lost. Arrived input is read once more before that.
//!
//! | deadline | default | error |
//! |---|---|---|
//! | [`keepalive`](crate::Keepalive): nothing was received for the interval, and no byte of the backlog taken for `pong_timeout` after, and for as long as a slow path may need for what was taken before | on; 45 to 52 s, and up to 256 s more for each MiB that was taken, up to 4 | `Timeout(Pong)` |
//! | [`idle_timeout`](crate::Config::idle_timeout): no part of a message was sent or received | off | `Timeout(Idle)` |
//! | [`close_timeout`](crate::Config::close_timeout), from the first Close on | 5 s | `Timeout(Close)`; `Unsent` if the peer's Close has come |
//!
//! A call that waits for room, or for the backlog to be written, returns the error as soon as the peer
//! is given up, in tasks and on threads alike. A later call
//! [returns the same error](super::closing#errors-of-calls-that-send). A call that receives or closes
//! returns it at the end of the connection, which the last Close delays by `close_timeout` at most.
//!
//! A peer that takes a byte now and then is slow, not dead. A peer that takes nothing but goes on
//! sending is not dead either: while you receive from it, none of these deadlines passes. To bound that
//! too, put a timeout of your own around `send` and call `close` when it passes, which is bounded; or
//! use `feed`, which never waits.
//!
//! Over a blocking stream that cannot limit how long a write takes, wrapped in
//! [`Plain`](crate::blocking::Plain), no deadline ends a write.
//!
//! # The deadlock of two
//! Both ends wait in `send` with full buffers, and neither reads. Each waits for the other until
//! keepalive gives up. Any call that waits and does not receive can do this. It is enough that one
//! end receives:
//!
//! - [Split](crate::tokio::WebSocket::split) the connection, and keep a task or thread in
//!   [`Reader::recv`](crate::tokio::Reader::recv).
//! - Answer with [`run`](crate::tokio::WebSocket::run), or with `feed` and `recv` in turn, while
//!   `is_ready`. Two ends that both answer each message with a larger one still fill up: each stops
//!   reading at the mark.
//! - Skip a message that may be skipped if not `is_ready`.
//!
//! # The other direction
//! Receiving stops when you stop calling `recv` or `run`. Then at most one read, 64 KiB, is taken from
//! the stream and held, and TCP holds the peer up. `send`, `flush` and `ping` of a `WebSocket` read
//! nothing but that one, and only before a deadline gives the peer up. Only `close` reads on, and
//! discards. For a reader that exists but is not in a call, the async
//! [`Writer::close`](crate::tokio::Writer::close) keeps what comes, up to
//! [`max_message_size`](crate::Config::max_message_size).
