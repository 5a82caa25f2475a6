//! What each side sees of what the other one does at the end (RFC 6455 §7).
//!
//! In each row the peer does something, on a connection on which we receive or are closing: "told" is
//! what the call returns that sees the connection to its end, `recv`, `run` or `close`;
//! [`closed`](crate::Connection::closed) is there from then on. A further `recv` gives `None`. Of
//! halves, each is told: a reader once, `Writer::close` each time.
//!
//! | the peer | told | [`Closed`](crate::Closed), [code](crate::Closed::code) | Close that we send | TCP is shut down by us |
//! |---|---|---|---|---|
//! | answers our Close | `Ok`, `None` | `Clean`, `Local`, its code | ours | a server: at once; a client: when the server has |
//! | closes first | `None`, `Ok` | `Clean`, `Remote`, its code; 1005 if it has none | its code; none if it has none | a server: at once; a client: when the server has |
//! | closes in the middle of a message | as if it had not been; `recv_chunk`, if it gave a part of it: `CutOff`, once | `Clean`, as above; [`messages_cut_off`](crate::Stats::messages_cut_off) is 1 | as above | as above |
//! | sends anything after its Close | as if it had not; nobody looks at it | as if it had not | as if it had not | as if it had not |
//! | closes with a code that is not allowed | `Protocol` | `Failed`, 1006 | 1002 | at once, in both roles |
//! | breaks the protocol or a limit | what came before it, then `Protocol` | `Failed`, 1006 | 1002, 1007, 1008, 1009 | at once, in both roles |
//! | answers, or closes, and never ends TCP | after `close_timeout`, as if it had | as if it had | as if it had | as if it had; a client: after `close_timeout` |
//! | never answers our Close | after `close_timeout`, `Timeout(Close)` | `TimedOut`, 1006 | ours | a server: when dropped; a client: then |
//! | keeps sending while we close | a reader is given it, `close` of a `WebSocket` discards it; then as if it answers, or not | as if it answers, or not | ours | as if it answers, or not |
//! | takes nothing while we close | after `close_timeout`, `Timeout(Close)` | `TimedOut`, 1006 | ours waits behind the backlog | a server: when dropped; a client: then |
//! | the same, and its Close comes | after `close_timeout`, `Unsent` | `Unsent`, its code | ours waits | a server: when dropped; a client: then |
//! | resets before its Close | `Io` | `Abnormal`, 1006 | none | it is gone |
//! | resets behind its Close | `None`, `Ok` | `Clean`; `Unsent` if messages were not written | the answer, if it is still taken | it is gone |
//! | ends TCP without a Close, inside a frame too | what came before it, then `Abnormal` | `Abnormal`, 1006 | none | a server: when dropped; a client: then |
//! | sends nothing, no answer to keepalive either | `Timeout(Pong)` | `TimedOut`, 1006 | 1011 | at once, without waiting for its end |
//! | neither sends nor takes a part of a message for the `idle_timeout` | `Timeout(Idle)` | `TimedOut`, 1006 | 1001 | at once, in both roles |
//!
//! After our own Close no second one goes out: a peer that breaks a rule then is not told which, and
//! the rest of the row holds. Messages that come behind our Close are the reader's if there is one. A
//! blocking `Writer::close` leaves one half a second for a reader that is not in a call, then discards.
//!
//! Messages that are discarded are not inflated and not held, so that a peer cannot have work done for
//! nobody: whatever their size, they pass. Their heads are judged, and text that is not compressed.
//! Once a call has begun to discard, all that follows is discarded, whoever receives then.
//!
//! # What a call that sends is told
//! `send`, `feed`, `ready`, `ping` and `pong` come too late once the connection is closing. They say
//! why each time, of a `WebSocket`, of any clone of a `Writer`, in a handler of `run`, and in the core.
//! `feed` and the core hand the message back with it, as
//! [`SendErrorReason::Closed`](crate::SendErrorReason::Closed) with the
//! [`CloseCause`](crate::CloseCause).
//!
//! | the connection | the [`Error`](crate::Error) |
//! |---|---|
//! | was closed by the peer | [`Closed`](crate::Error::Closed): `Remote`, with its code and reason |
//! | was closed by us, and neither failed nor timed out then | [`Closed`](crate::Error::Closed): `Local` |
//! | ended in any other way | what a call that receives is told, as above |
//!
//! After our own Close `ping` and `pong` are accepted until the peer's has come: only data may not
//! follow a Close (§5.5.1). `flush` has nothing to say if all was written. If a message was lost, it
//! says why as well, and `Unsent` with the code and reason if the peer closed the connection before.
//!
//! A stream may fail under a write before the peer's Close is read, since messages that nobody has
//! received lie in front of that. Then the error is `Io`. Receive to the end: the code is in
//! [`closed`](crate::Connection::closed). `run` does that by itself: when the handler gives back an
//! error that says that nothing can be sent any more, it is called on with what has come, and `run`
//! then says how the connection ended.
//!
//! # To begin to close and go on receiving
//! `close` waits for the end and discards what comes, or leaves it to the reader. `start_close` only
//! queues the Close: go on with `recv` until there is `None`.
//!
//! # Who ends TCP first
//! The server does, when both Closes are there and all is written (§7.1.1), so that the state that TCP
//! keeps for a while is the client's. Whoever fails does, too, so that the peer gets to its end, and
//! reads our Close, whatever it is doing. Then input is discarded up to the peer's end of TCP, since
//! input that is not read would make TCP reset the connection and lose our Close: at most 64 MiB, and
//! at most for what is left of `close_timeout`. The outcome is certain by then and does not change.
//! Over TLS it is the `close_notify` that goes out.
//!
//! A server whose peer has ended TCP before it could ends its own side when it is dropped. To drop a
//! connection that is over is always right.
//!
//! # What bounds it
//! [`close_timeout`](crate::Config::close_timeout), 5 s, runs from the first Close, sent or received, or
//! from the failure, to the end of TCP, as a whole: the backlog in front of our Close, the peer's answer
//! and its end of TCP. It does so while a call is under way, of either half. When it has passed before
//! anybody looked, what has arrived is read once more first.
//! [Keepalive](crate::Config::keepalive) and [`idle_timeout`](crate::Config::idle_timeout) end there.
