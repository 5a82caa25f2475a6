//! Faults: the result of a stream that fails, or that breaks its contract.
//!
//! Whatever a stream does, the connection goes on with nothing lost, or ends and says why. A cell of
//! these tables says "goes on", or has two entries: the [`Error`](crate::Error) that calls return, with
//! the [kind](std::io::Error::kind) of an [`Io`](crate::Error::Io); and the
//! [`Closed`](crate::Closed) of the connection. A cell with the error alone did not end the connection:
//! after `WouldBlock` you can make the call again. The tables hold for all adapters, whole and in
//! halves, in both roles, unless a row says otherwise. For a peer that closes or misbehaves see
//! [closing](super::closing); for one that reads nothing see [back-pressure](super::backpressure).
//!
//! # A read
//! You get first what came before it. The error comes once, from the call that receives; calls of
//! sending halves return it too. After both Close frames no read makes a difference.
//!
//! | the stream | idle | inside a head | inside a payload | inside a large payload | between fragments | while we close | behind both Closes |
//! |---|---|---|---|---|---|---|---|
//! | brings one byte at a time | goes on | goes on | goes on | goes on | goes on | goes on | goes on |
//! | is interrupted | goes on | goes on | goes on | goes on | goes on | goes on | goes on |
//! | would block | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` |
//! | would block, blocking halves | `Io(Unsupported)`, `Abnormal` | `Io(Unsupported)`, `Abnormal` | `Io(Unsupported)`, `Abnormal` | `Io(Unsupported)`, `Abnormal` | `Io(Unsupported)`, `Abnormal` | `Io(Unsupported)`, `Abnormal` | goes on |
//! | fails | `Io`, `Abnormal` | `Io`, `Abnormal` | `Io`, `Abnormal` | `Io`, `Abnormal` | `Io`, `Abnormal` | `Io`, `Abnormal` | goes on |
//! | ends | `Abnormal` | `Abnormal` | `Abnormal` | `Abnormal` | `Abnormal` | `Abnormal` | goes on |
//! | claims more than there was room for | `Io(InvalidData)`, `Abnormal` | `Io(InvalidData)`, `Abnormal` | `Io(InvalidData)`, `Abnormal` | `Io(InvalidData)`, `Abnormal` | `Io(InvalidData)`, `Abnormal` | `Io(InvalidData)`, `Abnormal` | goes on |
//! | reads into another buffer, tokio | `Io(InvalidData)`, `Abnormal` | `Io(InvalidData)`, `Abnormal` | `Io(InvalidData)`, `Abnormal` | `Io(InvalidData)`, `Abnormal` | `Io(InvalidData)`, `Abnormal` | `Io(InvalidData)`, `Abnormal` | goes on |
//! | takes back what it has read, tokio | `Abnormal` | `Abnormal` | `Abnormal` | `Abnormal` | `Abnormal` | `Abnormal` | goes on |
//!
//! A blocking stream that times out by itself, with `TimedOut`, counts as one that would block. But on
//! Unix a `TimedOut` of the operating system means that TCP gave up: the stream has failed.
//!
//! A stream may claim to have read more than it has, but no more than there was room for. Nothing can
//! detect that. You then get the old content of the buffer: bytes of earlier reads of this thread, also
//! of other connections. Do not use such a stream.
//!
//! # A write
//! Each call that sends returns the error. You still get what has come; `run` goes on with it to the
//! end. In this table a message and the peer's Close have come before the write fails. So the end is
//! `Unsent` if a message was lost, and `Clean` if not. Without the peer's Close it is `Abnormal`.
//!
//! | the stream | a message | a large message | a message, before its end | a message that was fed | a pong | our Close | the answer to a Close |
//! |---|---|---|---|---|---|---|---|
//! | takes one byte at a time | goes on | goes on | goes on | goes on | goes on | goes on | goes on |
//! | is interrupted | goes on | goes on | goes on | goes on | goes on | goes on | goes on |
//! | would block | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` |
//! | would block, blocking halves | `Io(Unsupported)`, `Unsent` | `Io(Unsupported)`, `Unsent` | `Io(Unsupported)`, `Unsent` | `Io(Unsupported)`, `Unsent` | `Clean` | `Clean` | `Clean` |
//! | fails | `Io`, `Unsent` | `Io`, `Unsent` | `Io`, `Unsent` | `Io`, `Unsent` | `Clean` | `Clean` | `Clean` |
//! | takes nothing | `Io(WriteZero)`, `Unsent` | `Io(WriteZero)`, `Unsent` | `Io(WriteZero)`, `Unsent` | `Io(WriteZero)`, `Unsent` | `Clean` | `Clean` | `Clean` |
//! | claims more than it was given | `Io(InvalidData)`, `Unsent` | `Io(InvalidData)`, `Unsent` | `Io(InvalidData)`, `Unsent` | `Io(InvalidData)`, `Unsent` | `Clean` | `Clean` | `Clean` |
//!
//! After `WouldBlock` the message is queued; `flush` or a receive goes on with it.
//!
//! # A flush
//! Bytes that a stream has taken but not flushed count as not written. Closing waits for the flush. The
//! end is `Unsent` if the flush fails or takes longer than
//! [`close_timeout`](crate::Config::close_timeout).
//!
//! | the stream | a message | a message that was fed | a pong |
//! |---|---|---|---|
//! | is interrupted | goes on | goes on | goes on |
//! | would block | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` |
//! | would block, blocking halves | `Io(Unsupported)`, `Unsent` | `Io(Unsupported)`, `Unsent` | goes on |
//! | fails | `Io`, `Unsent` | `Io`, `Unsent` | goes on |
//!
//! # A shutdown
//! If the write side cannot be shut down, the connection is over and its outcome does not change.
//!
//! | the stream | behind both Closes | behind our failing |
//! |---|---|---|
//! | is interrupted | goes on | `Protocol`, `Failed` |
//! | would block | goes on | `Protocol`, `Failed` |
//! | fails | goes on | `Protocol`, `Failed` |
//!
//! # The opening handshake
//! Any error ends the handshake, `WouldBlock` too: use a stream that waits. A server that refuses a
//! client returns `Rejected` even if the client could not be told. A flush
//! reports no count, so it cannot claim too much.
//!
//! | the stream | client: request | client: flush | client: response | server: request | server: response | server: flush | server: refusal |
//! |---|---|---|---|---|---|---|---|
//! | comes or goes one byte at a time | goes on | goes on | goes on | goes on | goes on | goes on | `Rejected(400)` |
//! | is interrupted | goes on | goes on | goes on | goes on | goes on | goes on | `Rejected(400)` |
//! | would block | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` | `Rejected(400)` |
//! | fails | `Io` | `Io` | `Io` | `Io` | `Io` | `Io` | `Rejected(400)` |
//! | ends, or takes nothing | `Io(WriteZero)` | goes on | `Handshake(Eof)` | `Rejected(Eof)` | `Io(WriteZero)` | goes on | `Rejected(400)` |
//! | claims too much | `Io(InvalidData)` | goes on | `Io(InvalidData)` | `Io(InvalidData)` | `Io(InvalidData)` | goes on | `Rejected(400)` |
//!
//! # How often a call is repeated
//! An interrupted call is repeated. An async adapter repeats it in the next poll, so that other tasks
//! get their turn; a blocking one repeats it at once, as the standard library does. A deadline that
//! passes meanwhile counts. No other call is repeated.
