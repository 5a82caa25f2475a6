//! What comes of a stream that fails, or does not do what it says.
//!
//! Whatever a stream does, a connection goes on with nothing lost, or comes to an end that says why.
//! In the tables "goes on" is the first. Otherwise there is what calls are told, the
//! [`Error`](crate::Error) and for [`Io`](crate::Error::Io) its [kind](std::io::Error::kind), and how
//! the connection ended, as [`Closed`](crate::Closed) says it, unless it did not: after `WouldBlock`
//! the call can be made again. They hold for all adapters, whole and in halves, in both roles; what
//! is different says so. What the peer does, on a stream that does its part, is
//! [another table](super::closing), and so is a peer that [takes nothing](super::backpressure).
//!
//! # A read
//! What came before it is given first. The error comes once, from whatever receives; halves that
//! send are told as well. Behind both Close frames no read makes a difference.
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
//! A blocking stream that times out by itself, with `TimedOut`, is one that would block; from the
//! operating system, on Unix, that is TCP giving up, and fails.
//!
//! A stream that claims to have read more than it has, and no more than there was room for, cannot be
//! told from one that has read it: what lies in the buffer is taken for it, bytes of earlier reads of
//! this thread, of other connections too. Do not use such a stream.
//!
//! # A write
//! The error is told to each call that sends, and what has come is still given; `run` goes on with it
//! to the end. Here a message and the peer's
//! Close have come before the write fails; that makes the end `Unsent` if a message was lost, and
//! `Clean` if it was not. Without its Close it is `Abnormal`.
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
//! After `WouldBlock` the message is queued, and `flush`, or a receive, goes on with it.
//!
//! # A flush
//! What a stream has taken and not flushed counts as not written: an end waits for the flush, and a
//! flush that fails, or does not come to an end before
//! [`close_timeout`](crate::Config::close_timeout), makes it `Unsent`.
//!
//! | the stream | a message | a message that was fed | a pong |
//! |---|---|---|---|
//! | is interrupted | goes on | goes on | goes on |
//! | would block | `Io(WouldBlock)` | `Io(WouldBlock)` | `Io(WouldBlock)` |
//! | would block, blocking halves | `Io(Unsupported)`, `Unsent` | `Io(Unsupported)`, `Unsent` | goes on |
//! | fails | `Io`, `Unsent` | `Io`, `Unsent` | goes on |
//!
//! # A shutdown
//! Whatever keeps the write side from being shut down, the connection is over with it, and ended as it
//! would have.
//!
//! | the stream | behind both Closes | behind our failing |
//! |---|---|---|
//! | is interrupted | goes on | `Protocol`, `Failed` |
//! | would block | goes on | `Protocol`, `Failed` |
//! | fails | goes on | `Protocol`, `Failed` |
//!
//! # The opening handshake
//! An error is the end of it, `WouldBlock` too, so it needs a stream that waits. That a client is
//! refused is told whether or not it could be told itself. A flush has no count.
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
//! An interrupted call is repeated: in the next poll, so that others have their turn, or, where the
//! adapter blocks, at once, as the standard library does it; a deadline that passes meanwhile counts.
//! Nothing else is repeated by itself.
