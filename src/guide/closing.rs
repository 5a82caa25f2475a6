//! Closing: what each side sees of the other side's actions at the end (RFC 6455 §7).
//!
//! In each row the peer does something while you receive or close. "Result" is the result of the call
//! that sees the connection to its end: `recv`, `run` or `close`. From then on
//! [`closed`](crate::Connection::closed) is set, and a further `recv` gives `None`. Of two halves both
//! get the result: a reader once, `Writer::close` each time.
//!
//! | the peer | result | [`Closed`](crate::Closed), [code](crate::Closed::code) | Close that we send | TCP is shut down by us |
//! |---|---|---|---|---|
//! | answers our Close | `Ok`, `None` | `Clean`, `Local`, its code | ours | a server: at once; a client: when the server has |
//! | closes first | `None`, `Ok` | `Clean`, `Remote`, its code; 1005 if it has none | its code; none if it has none | a server: at once; a client: when the server has |
//! | closes in the middle of a message | as if the message had not been; `recv_chunk`, if it gave a part of it: `CutOff`, once | `Clean`, as above; [`messages_cut_off`](crate::Stats::messages_cut_off) is 1 | as above | as above |
//! | sends anything after its Close | as if it had not: that is not looked at | as if it had not | as if it had not | as if it had not |
//! | closes with a code that is not allowed | `Protocol` | `Failed`, 1006 | 1002 | at once, in both roles |
//! | breaks the protocol or a limit | what came before it, then `Protocol` | `Failed`, 1006 | 1002, 1007, 1008, 1009 | at once, in both roles |
//! | answers, or closes, and never ends TCP | after `close_timeout`, as if it had | as if it had | as if it had | as if it had; a client: after `close_timeout` |
//! | never answers our Close | after `close_timeout`, `Timeout(Close)` | `TimedOut`, 1006 | ours | a server: when dropped; a client: then |
//! | keeps sending while we close | a reader gets it, `close` of a `WebSocket` discards it; then as if it answers, or not | as if it answers, or not | ours | as if it answers, or not |
//! | takes nothing while we close | after `close_timeout`, `Timeout(Close)` | `TimedOut`, 1006 | ours waits behind the backlog | a server: when dropped; a client: then |
//! | the same, and its Close comes | after `close_timeout`, `Unsent` | `Unsent`, its code | ours waits | a server: when dropped; a client: then |
//! | resets before its Close | `Io` | `Abnormal`, 1006 | none | it is gone |
//! | resets behind its Close | `None`, `Ok` | `Clean`; `Unsent` if messages were not written | the answer, if it is still taken | it is gone |
//! | ends TCP without a Close, inside a frame too | what came before it, then `Abnormal` | `Abnormal`, 1006 | none | a server: when dropped; a client: then |
//! | sends nothing, no answer to keepalive either | `Timeout(Pong)` | `TimedOut`, 1006 | 1011 | at once, without waiting for its end |
//! | neither sends nor takes a part of a message for the `idle_timeout` | `Timeout(Idle)` | `TimedOut`, 1006 | 1001 | at once, in both roles |
//!
//! No second Close follows our own. A peer that breaks a rule after it is not told which; the rest of
//! the row holds. Messages that come after our Close go to the reader, if there is one. A blocking
//! `Writer::close` waits half a second for a reader that is not in a call, then discards.
//!
//! Discarded messages are neither inflated nor held, so a peer cannot cause useless work, and they may
//! have any size. Their heads are checked, and so is text that is not compressed. Once a call has begun
//! to discard, everything that follows is discarded, also for other calls.
//!
//! # Errors of calls that send
//! `send`, `feed`, `ready`, `ping` and `pong` come too late once the connection is closing. They say
//! why each time: on a `WebSocket`, on any clone of a `Writer`, in a handler of `run`, and in the core.
//! `feed` and the core also hand the message back, with
//! [`SendErrorReason::Closed`](crate::SendErrorReason::Closed) and the
//! [`CloseCause`](crate::CloseCause).
//!
//! | the connection | the [`Error`](crate::Error) |
//! |---|---|
//! | was closed by the peer | [`Closed`](crate::Error::Closed): `Remote`, with its code and reason |
//! | was closed by us, and neither failed nor timed out then | [`Closed`](crate::Error::Closed): `Local` |
//! | ended in any other way | the result of a call that receives, as above |
//!
//! After our own Close, `ping` and `pong` are accepted until the peer's Close has come: only data may
//! not follow a Close (§5.5.1). `flush` succeeds if everything was written. If a message was lost, it
//! gives the error too, or `Unsent` with the code and reason if the peer had closed the connection.
//!
//! A write may fail before the peer's Close is read, because unreceived messages come before that
//! Close. Then the error is `Io`. Receive to the end: the code is in
//! [`closed`](crate::Connection::closed). `run` does this for you: if your handler returns an error that
//! says that nothing can be sent any more, `run` goes on calling it with the messages that have come,
//! and then says how the connection ended.
//!
//! # Close, but go on receiving
//! `close` waits for the end, and discards messages or leaves them to the reader. `start_close` only
//! queues the Close: go on with `recv` until it gives `None`.
//!
//! # Which end shuts TCP down first
//! The server does, when both Closes are there and everything is written (§7.1.1). So the client keeps
//! the state that TCP holds for a while afterwards. An end that fails the connection does so too, so
//! that the peer reaches the end of its input and reads our Close. It then discards input up to the
//! peer's end of TCP, 64 MiB at most, within the rest of `close_timeout`. Unread input would make TCP
//! reset the connection and lose our Close. The outcome is certain by then and does not change. Over
//! TLS the shutdown is a `close_notify`.
//!
//! If the peer ends TCP first, a server ends its own side when it is dropped. You can always drop a
//! connection that is over.
//!
//! # Time limits
//! [`close_timeout`](crate::Config::close_timeout), 5 s, runs from the first Close, sent or received, or
//! from the failure, to the end of TCP. It covers the backlog before our Close, the peer's answer and
//! its end of TCP. It runs while a call of either half is under way. If no call was under way when it
//! passed, what has arrived is read once more first.
//! [Keepalive](crate::Config::keepalive) and [`idle_timeout`](crate::Config::idle_timeout) stop at the
//! first Close.
