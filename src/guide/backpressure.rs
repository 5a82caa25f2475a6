//! What each call does on a peer that takes nothing.
//!
//! Such a peer is slow, or busy, or waits itself; or it is dead. Whatever it is, its socket is full,
//! and what is sent waits in the outbox. That backlog is bounded by two numbers: the
//! [mark](crate::Config::unsent_mark), 256 KiB, from which on one ought to wait, and the
//! [limit](crate::Config::max_unsent), 1 MiB, from which on nothing more is accepted. With nothing
//! waiting one is under both, whatever they are. Only the backlog in front of a message counts, not
//! its own size, so at most the limit and one message wait, and some control frames.
//!
//! # The core
//! [`Connection`](crate::Connection) never waits, it says no:
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
//! "Waits" is a future that is pending. While one does, but for `recv` and `close`, nothing is
//! received: no ping is answered, no Close is noticed. Only before a deadline gives the peer up, what
//! has arrived is looked at once more.
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
//! A writer that waits keeps nobody from receiving. If nobody does, a writer answers pings itself
//! and notices a Close, as far as no message lies in front of them.
//!
//! | call | empty, or under the mark | from the mark on | from the limit on |
//! |---|---|---|---|
//! | `Writer::ready`, `send`, `send_fragment`, `feed`, `ping`, `pong`, `flush` | as of `WebSocket` | the same; who waits for room is served in turn | the same |
//! | `Writer::start_close` | queues the Close, writes what the stream takes | the same | the same |
//! | `Writer::close` | queues the Close, waits for the end; messages are the reader's | the same | the same |
//! | `Reader::recv`, `drain` | gives messages, or discards them; answers pings, writes what it can | the same | the same |
//! | `Broadcast::send`, [`Wait`](crate::tokio::SlowConsumer::Wait) | queues | waits for room | waits for room |
//! | `Broadcast::send`, [`DropMessage`](crate::tokio::SlowConsumer::DropMessage) | queues | drops and counts it | drops and counts it |
//! | `Broadcast::send`, [`KeepLatest`](crate::tokio::SlowConsumer::KeepLatest) | queues | keeps it for the member, in the place of the one kept before; it goes out as soon as there is room | the same |
//! | `Broadcast::send`, [`Disconnect`](crate::tokio::SlowConsumer::Disconnect) | queues | the member leaves, a Close is queued | the same |
//!
//! Before a group takes a member for slow, it tries to write what waits for it. If no reader drives
//! the connection and the stream takes some of it, the message is queued after all, up to the limit.
//! While a member is in the middle of a message in fragments, messages of the group wait behind it,
//! in order. They count as unsent, with 64 bytes more for each.
//!
//! # Blocking
//! As above, where "waits" is a call that blocks, with one difference: on an unsplit
//! [`WebSocket`](crate::blocking::WebSocket) `recv` and `run` write what waits before they read, and
//! block there until some deadline has them look up, keepalive's every quarter of its interval: the
//! standard library cannot wait for both directions. A [`Reader`](crate::blocking::Reader) gives a
//! write 10 ms, then reads, and tries again every 100 ms.
//!
//! # What ends the wait
//! Deadlines run while a call waits, each with an error; then the connection is over, and
//! `unsent` says what was lost. Before one gives the peer up, what has arrived is read once more.
//!
//! | deadline | default | error |
//! |---|---|---|
//! | [`keepalive`](crate::Keepalive): nothing was received for the interval, and no byte of the backlog taken for `pong_timeout` after, and for as long as a slow path may need for what was taken before | on; 45 to 52 s, and up to 256 s more for each MiB that was taken, up to 4 | `Timeout(Pong)` |
//! | [`idle_timeout`](crate::Config::idle_timeout): no part of a message was sent or received | off | `Timeout(Idle)` |
//! | [`close_timeout`](crate::Config::close_timeout), from the first Close on | 5 s | `Timeout(Close)`; `Unsent` if the peer's Close has come |
//!
//! A call that waits, for room or for what is queued to be written, is told as soon as the peer is given
//! up, in tasks and on threads alike. A call that comes later is
//! [told the same](super::closing#what-a-call-that-sends-is-told). A call that receives or closes is told
//! at the end of the connection, for which the last Close has `close_timeout`.
//!
//! A peer that takes a byte now and then is slow, not dead. Nor is one dead that takes nothing and
//! goes on sending: while somebody receives from it none of these deadlines passes. Where that must not
//! last, put a timeout of your own around `send`, and `close` when it passes, which is bounded; or
//! `feed`, which never waits.
//!
//! Over a blocking stream that cannot limit how long a write takes, wrapped in
//! [`Plain`](crate::blocking::Plain), no deadline ends a write.
//!
//! # The deadlock of two
//! Both ends wait in `send`, each with full buffers, and neither reads: each waits for the other,
//! until keepalive gives up. The same happens with anything that waits and does not receive. One
//! end that receives is enough to get both out of it:
//!
//! - [Split](crate::tokio::WebSocket::split) the connection, and keep a task or thread in
//!   [`Reader::recv`](crate::tokio::Reader::recv).
//! - Answer with [`run`](crate::tokio::WebSocket::run), or with `feed` and `recv` in turn, while
//!   `is_ready`. Two ends that both answer each message with more than they got fill up all the
//!   same: each stops reading at the mark.
//! - Where a message may be skipped, skip it if not `is_ready`.
//!
//! # The other direction
//! Receiving stops where the user stops. While nobody is in `recv` or `run`, at most one read,
//! 64 KiB, is taken from the stream, and held; TCP holds the peer up. A `send`, `flush` or `ping` of a
//! `WebSocket` reads nothing at all but for that one, and only before a deadline gives the peer up.
//! Only `close` reads on: it discards, and for a reader that is not
//! in a call but still there the async [`Writer::close`](crate::tokio::Writer::close) keeps what
//! comes, up to [`max_message_size`](crate::Config::max_message_size).
