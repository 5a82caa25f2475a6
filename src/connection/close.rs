//! The end of a connection: the closing handshake, failing, and the end of TCP (RFC 6455 §7).
//!
//! ```text
//! Open ──start_close()──→ LocalClosing ──peer's Close──→ Closing
//! Open ──peer's Close (ours queued)──────────────→ Closing
//! Open ──error (Close queued)────────────────────→ Failing
//!
//! Closing: Flush ──outbox empty, server: write side shut down──→ AwaitEof ──EOF──→ Closed(Clean)
//!                └─outbox empty, client ───────────────────────→ AwaitEof
//! Failing: Flush ──outbox empty, write side shut down──→ AwaitEof ──EOF──→ Closed(Failed)
//! EOF while flushing: FlushLast ──outbox empty──→ Closed
//! Open ──a write failed──→ Unwritable ──peer's Close──→ Closing, else as Open
//! EOF or a broken transport before both Closes: Closed(Abnormal)
//! the deadline, counted from the first of these: LocalClosing → Closed(TimedOut), others as EOF
//! ```
//!
//! Cell by cell: `guide::specification::closing`.
//!
//! Input is discarded while Closing or Failing, up to a limit. Unread input would make TCP reset the
//! connection and lose our Close.

use super::{
    CloseCause, Connection, ProtocolError, Time, TimeoutError, Transport,
    send::SendBuffer,
    time::{last_call::LastCall, point::Due},
};
use crate::frame::{CloseFrame, ControlPayload, Header, IntoCloseFrame, OpCode, ReasonTooLong};
use alloc::boxed::Box;
use core::{mem, time::Duration};

/// The most input that is discarded, in bytes. A peer that sends more is cut off.
const MAX_DISCARDED: u32 = 64 << 20;

/// An endpoint, seen from this one: the one that closed first, for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This endpoint.
    Local,
    /// The peer.
    Remote,
}

/// How a connection ended. See the table of [outcomes](crate::guide::closing) for each thing that the
/// peer can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// The closing handshake was completed (RFC 6455 §7.1.4). A peer that hangs up right after its
    /// Close counts too, although it does not wait for ours.
    Clean {
        /// The end that sent the first Close.
        initiator: Side,
        /// The peer's code and reason, `None` if its Close had no code.
        frame: Option<CloseFrame>,
    },
    /// The peer's Close came, but messages were lost: the transport ended, broke or stalled before
    /// all that were accepted for sending were written. [`unsent`](crate::Connection::unsent) counts
    /// them. In an adapter also if the stream took all of them and could not flush: how many it held
    /// is not known.
    Unsent {
        /// The end that sent the first Close.
        initiator: Side,
        /// The peer's code and reason, `None` if its Close had no code.
        frame: Option<CloseFrame>,
    },
    /// The transport ended or broke before the peer's Close had come (§7.1.5: 1006).
    Abnormal,
    /// The peer broke the protocol or a limit.
    Failed(ProtocolError),
    /// A deadline passed.
    TimedOut(TimeoutError),
}

impl Closed {
    /// The close code of the connection (§7.1.5): that of the peer's Close, 1005 if it had none, 1006
    /// if no Close came. The last two are never on the wire.
    pub fn code(&self) -> u16 {
        match self {
            Self::Clean { frame: Some(frame), .. } | Self::Unsent { frame: Some(frame), .. } => {
                frame.code().into()
            }
            Self::Clean { frame: None, .. } | Self::Unsent { frame: None, .. } => 1005,
            Self::Abnormal | Self::Failed(_) | Self::TimedOut(_) => 1006,
        }
    }

    /// The reason in the peer's Close (§7.1.6), empty if there was none.
    pub fn reason(&self) -> &str {
        match self {
            Self::Clean { frame: Some(frame), .. } | Self::Unsent { frame: Some(frame), .. } => {
                frame.reason()
            }
            _ => "",
        }
    }

    /// Whether the closing handshake was completed (§7.1.4).
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Clean { .. })
    }
}

impl Connection {
    /// Starts the closing handshake (RFC 6455 §7.1.2): queues a Close frame after all messages that
    /// were accepted. You still get the messages that come before the peer's Close. Does nothing if
    /// the connection is closing already.
    ///
    /// ```
    /// use fullduplex::{CloseCode, Config, Connection};
    ///
    /// let mut connection = Connection::server(Config::default());
    /// connection.start_close((CloseCode::GOING_AWAY, "bye"))?;
    /// assert_eq!(connection.outbox().chunk(), b"\x88\x05\x03\xe9bye");
    /// # Ok::<(), fullduplex::frame::ReasonTooLong>(())
    /// ```
    ///
    /// # Errors
    /// [`ReasonTooLong`] for a reason of more than 123 bytes: nothing changed.
    pub fn start_close(&mut self, frame: impl IntoCloseFrame) -> Result<(), ReasonTooLong> {
        self.queue_close(frame.into_close_frame()?);
        Ok(())
    }

    /// As [`start_close`](Self::start_close), with a frame that fits.
    pub(crate) fn queue_close(&mut self, frame: Option<CloseFrame>) {
        if matches!(self.state, Phase::Open) {
            self.push_close(frame);
            self.state = Phase::LocalClosing { deadline: CloseDeadline::UNKNOWN };
        }
    }

    /// Whether you can still send messages: no Close was sent or received, and nothing has failed.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.state, Phase::Open)
    }

    /// How the connection ended; `None` while the transport is in use.
    pub fn closed(&self) -> Option<&Closed> {
        match &self.state {
            Phase::Closed(closed) => Some(closed),
            _ => None,
        }
    }

    /// How the connection ended, or will end for certain.
    #[cfg(feature = "std")]
    pub(crate) fn outcome(&self) -> Option<&Closed> {
        match &self.state {
            Phase::Ending { outcome, .. } | Phase::Closed(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Whether we have queued or sent a Close, and the peer's has not come.
    #[cfg(feature = "tracing")]
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.state, Phase::LocalClosing { .. })
    }

    pub(super) fn push_close(&mut self, frame: Option<CloseFrame>) {
        let mask = self.keys.next();
        let mut body = ControlPayload::EMPTY;
        if let Some(frame) = &frame {
            frame.encode(&mut body);
        }
        let length = body.as_bytes().len() as u64;
        let header = Header { mask, ..Header::new(OpCode::Close, length) };
        self.sent.others += 1;
        self.outbox.push_close(&header, body.as_bytes());
    }

    /// Drops a partial message, once nothing more can be received.
    pub(super) fn settle(&mut self) {
        if self.state.is_over() {
            #[cfg(feature = "deflate")]
            if let (Some(deflate), false) = (&mut self.deflate, self.outbox.is_cut()) {
                deflate.release();
            }
            self.receiver.stop();
        }
    }
}

pub(super) enum Phase {
    Open,
    /// Our Close is queued or sent.
    LocalClosing {
        deadline: CloseDeadline,
    },
    /// The transport takes no more bytes. Earlier input, perhaps the peer's Close, is still read.
    Unwritable {
        deadline: CloseDeadline,
        /// The end that closed first, should the peer's Close come.
        initiator: Side,
        /// Whether messages were lost.
        lost: bool,
    },
    /// Input does not matter any more: `outcome` is certain.
    Ending {
        outcome: Closed,
        step: Step,
        /// Whether this endpoint closes TCP first (§7.1.1): a server does, and an end that fails.
        closes_first: bool,
        deadline: CloseDeadline,
        discarded: u32,
    },
    Closed(Closed),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Flush,
    /// As `Flush`, after the peer's end of input.
    FlushLast,
    AwaitEof,
}

/// The deadline of the closing handshake: unknown until the caller gives the time.
///
/// In a box, because most connections are open and need no room for it.
#[derive(Default)]
pub(super) struct CloseDeadline(Option<Box<LastCall>>);

impl CloseDeadline {
    pub(super) const UNKNOWN: Self = Self(None);

    fn due(&self) -> Due {
        self.0.as_ref().map_or(Due::Now, |call| Due::At(call.deadline()))
    }
}

impl Phase {
    /// Whether input does not matter any more.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Ending { .. } | Self::Closed(_))
    }

    /// The reason why nothing more can be sent, unless it is open.
    pub(super) fn cause(&self) -> CloseCause {
        let closed_by = |initiator: &Side, frame: &Option<CloseFrame>| match initiator {
            Side::Local => CloseCause::Local,
            Side::Remote => CloseCause::Remote(frame.clone()),
        };
        match self {
            Self::LocalClosing { .. } | Self::Unwritable { initiator: Side::Local, .. } => {
                CloseCause::Local
            }
            Self::Open | Self::Unwritable { .. } => CloseCause::Abnormal,
            Self::Ending { outcome, .. } | Self::Closed(outcome) => match outcome {
                Closed::Clean { initiator, frame } | Closed::Unsent { initiator, frame } => {
                    closed_by(initiator, frame)
                }
                Closed::Abnormal => CloseCause::Abnormal,
                Closed::Failed(error) => CloseCause::Failed(*error),
                Closed::TimedOut(error) => CloseCause::TimedOut(*error),
            },
        }
    }

    /// The peer's Close has come.
    pub(super) fn peer_closed(&mut self, frame: Option<CloseFrame>, server: bool) {
        let (outcome, deadline) = match self {
            Self::Open => {
                (Closed::Clean { initiator: Side::Remote, frame }, CloseDeadline::UNKNOWN)
            }
            Self::LocalClosing { deadline } => {
                (Closed::Clean { initiator: Side::Local, frame }, mem::take(deadline))
            }
            Self::Unwritable { deadline, initiator, lost: false } => {
                (Closed::Clean { initiator: *initiator, frame }, mem::take(deadline))
            }
            Self::Unwritable { deadline, initiator, lost: true } => {
                (Closed::Unsent { initiator: *initiator, frame }, mem::take(deadline))
            }
            Self::Ending { .. } | Self::Closed(_) => return,
        };
        *self = Self::Ending {
            outcome,
            step: Step::Flush,
            closes_first: server,
            deadline,
            discarded: 0,
        };
    }

    /// The connection failed and our Close, if there is to be one, is queued.
    pub(super) fn fail(&mut self, outcome: Closed) {
        let deadline = match self {
            Self::LocalClosing { deadline } | Self::Unwritable { deadline, .. } => {
                mem::take(deadline)
            }
            _ => CloseDeadline::UNKNOWN,
        };
        *self =
            Self::Ending { outcome, step: Step::Flush, closes_first: true, deadline, discarded: 0 };
    }

    /// The thing that the caller has to do, with this `outbox`.
    pub(super) fn transport(&mut self, outbox: &mut SendBuffer) -> Transport {
        let flushed = outbox.is_drained();
        match self {
            Self::Open | Self::LocalClosing { .. } | Self::Unwritable { .. } => Transport::Open,
            Self::Ending { step: Step::Flush, .. } if !flushed => Transport::Open,
            Self::Ending { step: Step::Flush, closes_first: true, .. } => Transport::ShutDown,
            Self::Ending { step: Step::Flush | Step::AwaitEof, .. } => Transport::AwaitEof,
            Self::Ending { step: Step::FlushLast, .. } if !flushed => Transport::WriteOnly,
            Self::Ending { step: Step::FlushLast, .. } => {
                self.end(outbox);
                Transport::Closed
            }
            Self::Closed(_) => Transport::Closed,
        }
    }

    pub(super) fn shutdown_complete(&mut self, outbox: &mut SendBuffer) {
        if !outbox.is_drained() {
            return; // it was not asked for
        }
        if let Self::Ending { step, outcome, .. } = self {
            // A peer that does not answer pings is not worth waiting for.
            if *step == Step::FlushLast || *outcome == Closed::TimedOut(TimeoutError::Pong) {
                self.end(outbox);
            } else {
                *step = Step::AwaitEof;
            }
        }
    }

    /// The peer has sent everything.
    pub(super) fn eof(&mut self, outbox: &mut SendBuffer) {
        match self {
            Self::Ending { step, .. } if *step != Step::AwaitEof && !outbox.is_drained() => {
                *step = Step::FlushLast;
            }
            _ => self.end(outbox),
        }
    }

    /// Counts input that is discarded.
    pub(super) fn discard(&mut self, bytes: usize, outbox: &mut SendBuffer) {
        if let Self::Ending { discarded, .. } = self {
            *discarded = discarded.saturating_add(bytes.try_into().unwrap_or(u32::MAX));
            if *discarded > MAX_DISCARDED {
                self.end(outbox);
            }
        }
    }

    /// The transport is gone, and with it what is queued.
    pub(super) fn end(&mut self, outbox: &mut SendBuffer) {
        let outcome = match mem::replace(self, Self::Open) {
            Self::Open | Self::LocalClosing { .. } | Self::Unwritable { .. } => Closed::Abnormal,
            Self::Ending { outcome: Closed::Clean { initiator, frame }, .. }
                if outbox.has_messages() =>
            {
                Closed::Unsent { initiator, frame }
            }
            Self::Ending { outcome, .. } | Self::Closed(outcome) => outcome,
        };
        outbox.clear();
        *self = Self::Closed(outcome);
    }

    pub(super) fn deadline(&self) -> Option<Due> {
        match self {
            Self::Open | Self::Closed(_) => None,
            Self::LocalClosing { deadline }
            | Self::Unwritable { deadline, .. }
            | Self::Ending { deadline, .. } => Some(deadline.due()),
        }
    }

    /// The deadline that is running, or is about to.
    fn running(&mut self) -> Option<&mut CloseDeadline> {
        match self {
            Self::Open | Self::Closed(_) => None,
            Self::LocalClosing { deadline }
            | Self::Unwritable { deadline, .. }
            | Self::Ending { deadline, .. } => Some(deadline),
        }
    }

    /// The clock is another one from now on.
    #[cfg(feature = "std")]
    pub(super) fn restart_clock(&mut self) {
        if let Some(deadline) = self.running() {
            *deadline = CloseDeadline::UNKNOWN;
        }
    }

    /// Starts the deadline if it does not run yet, and keeps it.
    pub(super) fn handle_timeout(
        &mut self,
        now: Time,
        timeout: Duration,
        outbox: &mut SendBuffer,
    ) -> Result<(), TimeoutError> {
        let Some(deadline) = self.running() else { return Ok(()) };
        let deadline = deadline.0.get_or_insert_with(|| Box::new(LastCall::brief(now, timeout)));
        if !deadline.has_passed(now) {
            return Ok(());
        }
        if matches!(
            self,
            Self::LocalClosing { .. } | Self::Unwritable { initiator: Side::Local, .. }
        ) {
            outbox.clear();
            *self = Self::Closed(Closed::TimedOut(TimeoutError::Close));
            return Err(TimeoutError::Close);
        }
        self.end(outbox);
        Ok(())
    }

    /// Writing failed for good.
    pub(super) fn write_failed(&mut self, outbox: &mut SendBuffer) {
        let lost = outbox.has_messages();
        match self {
            Self::Open => {
                let (deadline, initiator) = (CloseDeadline::UNKNOWN, Side::Remote);
                *self = Self::Unwritable { deadline, initiator, lost };
            }
            Self::LocalClosing { deadline } => {
                let deadline = mem::take(deadline);
                *self = Self::Unwritable { deadline, initiator: Side::Local, lost };
            }
            Self::Ending { .. } => self.end(outbox),
            Self::Unwritable { .. } | Self::Closed(_) => {}
        }
        outbox.clear();
    }
}
