//! Close codes and the body of a Close frame (RFC 6455 §5.5.1 and §7.4).

use super::{ControlPayload, Header};
use alloc::string::{String, ToString};
use core::{fmt, num::NonZeroU16};

/// A close code that a Close frame may carry (RFC 6455 §7.4).
///
/// It holds 1000–1003 and 1007–1014, as registered with IANA, and 3000–4999. It cannot hold 1005
/// ("no code"), 1006 and 1015 (outcomes, not codes), the reserved 1004, or any other number.
///
/// ```
/// use fullduplex::CloseCode;
///
/// assert_eq!(CloseCode::new(1000)?, CloseCode::NORMAL);
/// assert!(CloseCode::new(1006).is_err());
/// assert!(CloseCode::new(4321).is_ok());
/// # Ok::<(), fullduplex::frame::InvalidCloseCode>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(NonZeroU16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl CloseCode {
            $($(#[$doc])* pub const $name: Self = Self(NonZeroU16::new($code).unwrap());)*
        }

        /// The name for a registered code, the number for any other.
        impl fmt::Debug for CloseCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(Self::$name => write!(f, concat!(stringify!($name), "({})"), $code),)*
                    _ => write!(f, "CloseCode({})", self.0),
                }
            }
        }
    };
}

codes! {
    /// 1000: the purpose of the connection is fulfilled.
    NORMAL = 1000;
    /// 1001: a server goes down, or a browser leaves the page.
    GOING_AWAY = 1001;
    /// 1002: the peer broke the protocol.
    PROTOCOL_ERROR = 1002;
    /// 1003: a type of data that this endpoint cannot accept.
    UNSUPPORTED_DATA = 1003;
    /// 1007: data that does not fit the type of the message, such as text that is not UTF-8.
    INVALID_PAYLOAD = 1007;
    /// 1008: a message that breaks a policy, when no other code fits.
    POLICY_VIOLATION = 1008;
    /// 1009: a message that is too big to process.
    MESSAGE_TOO_BIG = 1009;
    /// 1010: only from a client: the server did not accept a needed extension.
    MANDATORY_EXTENSION = 1010;
    /// 1011: an unexpected condition kept the endpoint from fulfilling the request.
    INTERNAL_ERROR = 1011;
    /// 1012: the service restarts (IANA).
    SERVICE_RESTART = 1012;
    /// 1013: the service is overloaded, try again later (IANA).
    TRY_AGAIN_LATER = 1013;
    /// 1014: a gateway got a bad answer from upstream (IANA).
    BAD_GATEWAY = 1014;
}

impl CloseCode {
    /// Creates a code that a Close frame may carry.
    ///
    /// # Errors
    /// [`InvalidCloseCode`] for any other number.
    pub const fn new(code: u16) -> Result<Self, InvalidCloseCode> {
        match (code, NonZeroU16::new(code)) {
            (1000..=1003 | 1007..=1014 | 3000..=4999, Some(code)) => Ok(Self(code)),
            _ => Err(InvalidCloseCode(code)),
        }
    }

    /// Makes a constant of your own. An illegal code does not compile in one.
    ///
    /// ```
    /// use fullduplex::CloseCode;
    ///
    /// const KICKED: CloseCode = CloseCode::from_static(4000);
    /// # assert_eq!(u16::from(KICKED), 4000);
    /// ```
    ///
    /// # Panics
    /// If `code` is illegal and this is not a constant. Use [`new`](Self::new) for a code that you
    /// only know at run time.
    pub const fn from_static(code: u16) -> Self {
        match Self::new(code) {
            Ok(code) => code,
            Err(_) => panic!("this close code may not be sent"),
        }
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0.get()
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = InvalidCloseCode;

    fn try_from(code: u16) -> Result<Self, Self::Error> {
        Self::new(code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that no Close frame may carry (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCloseCode(pub u16);

impl fmt::Display for InvalidCloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "close code {} may not be sent: use 1000, or one from 3000 to 4999", self.0)
    }
}

impl core::error::Error for InvalidCloseCode {}

/// The body of a Close frame: a code and a reason (RFC 6455 §5.5.1).
///
/// The reason is for logs and debugging; a client must not show it to its end users (§5.5.1).
///
/// ```
/// use fullduplex::{CloseCode, CloseFrame};
///
/// let frame = CloseFrame::new(CloseCode::GOING_AWAY, "restarting")?;
/// assert_eq!(frame.reason(), "restarting");
/// assert!(CloseFrame::new(CloseCode::NORMAL, &"x".repeat(124)).is_err());
/// # Ok::<(), fullduplex::frame::ReasonTooLong>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    code: CloseCode,
    reason: String,
}

impl CloseFrame {
    /// The longest reason in bytes: 125 less the two of the code.
    pub const MAX_REASON: usize = Header::MAX_CONTROL_PAYLOAD - 2;

    /// Creates a body with `code` and `reason`.
    ///
    /// # Errors
    /// [`ReasonTooLong`] if `reason` has more than 123 bytes.
    pub fn new(code: CloseCode, reason: &str) -> Result<Self, ReasonTooLong> {
        if reason.len() > Self::MAX_REASON {
            return Err(ReasonTooLong(reason.len()));
        }
        Ok(Self { code, reason: reason.to_string() })
    }

    /// The code.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason; empty if there is none.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Appends the body in its form on the wire.
    pub(crate) fn encode(&self, body: &mut ControlPayload) {
        body.extend(&u16::from(self.code).to_be_bytes());
        body.extend(self.reason.as_bytes());
    }

    /// Decodes the body of a Close frame: `None` for an empty one, which means "no code" (1005).
    ///
    /// # Errors
    /// [`CloseFrameError`] for a body of one byte, a code that may not be sent, or a reason that
    /// is not UTF-8.
    pub fn decode(body: &[u8]) -> Result<Option<Self>, CloseFrameError> {
        let Some((code, reason)) = body.split_first_chunk() else {
            return if body.is_empty() { Ok(None) } else { Err(CloseFrameError::Truncated) };
        };
        let code = CloseCode::new(u16::from_be_bytes(*code)).map_err(CloseFrameError::Code)?;
        let reason = core::str::from_utf8(reason).map_err(CloseFrameError::Reason)?;
        Ok(Some(Self { code, reason: reason.to_string() }))
    }
}

/// From a code alone, with an empty reason.
impl From<CloseCode> for CloseFrame {
    fn from(code: CloseCode) -> Self {
        Self { code, reason: String::new() }
    }
}

/// Everything that you can close a connection with: what `close` and `start_close` take, on every
/// type.
///
/// | you write | the Close frame |
/// |---|---|
/// | `CloseCode::NORMAL` | with this code |
/// | `(CloseCode::GOING_AWAY, "restarting")`, or a `String` or `&String` | with this code and reason |
/// | a [`CloseFrame`] or `&CloseFrame` | that one |
/// | `None`, or an `Option<CloseFrame>` | with no code: the peer reads 1005 (RFC 6455 §7.1.5) |
///
/// You cannot implement this trait.
///
/// ```
/// use fullduplex::{CloseCode, CloseFrame, IntoCloseFrame};
///
/// let frame = CloseFrame::new(CloseCode::GOING_AWAY, "restarting")?;
/// assert_eq!((CloseCode::GOING_AWAY, "restarting").into_close_frame()?, Some(frame));
/// assert!((CloseCode::NORMAL, "x".repeat(124)).into_close_frame().is_err());
/// # Ok::<(), fullduplex::frame::ReasonTooLong>(())
/// ```
pub trait IntoCloseFrame: sealed::Sealed {
    /// The frame, or `None` for one without a code.
    ///
    /// # Errors
    /// [`ReasonTooLong`] for a reason of more than 123 bytes.
    fn into_close_frame(self) -> Result<Option<CloseFrame>, ReasonTooLong>;
}

mod sealed {
    #[expect(unnameable_types, reason = "that is its purpose")]
    pub trait Sealed {}
}

macro_rules! into_close_frame {
    ($($type:ty: |$this:ident| $frame:expr;)*) => {$(
        impl sealed::Sealed for $type {}

        impl IntoCloseFrame for $type {
            fn into_close_frame(self) -> Result<Option<CloseFrame>, ReasonTooLong> {
                let $this = self;
                Ok($frame)
            }
        }
    )*};
}

into_close_frame! {
    CloseCode: |code| Some(code.into());
    (CloseCode, &str): |frame| Some(CloseFrame::new(frame.0, frame.1)?);
    (CloseCode, &String): |frame| Some(CloseFrame::new(frame.0, frame.1)?);
    (CloseCode, String): |frame| Some(CloseFrame::new(frame.0, &frame.1)?);
    CloseFrame: |frame| Some(frame);
    &CloseFrame: |frame| Some(frame.clone());
    Option<CloseFrame>: |frame| frame;
}

/// `code` or `code (reason)`.
impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.code),
            reason => write!(f, "{} ({})", self.code, reason.escape_debug()),
        }
    }
}

/// A close reason of more than 123 bytes; holds its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonTooLong(pub usize);

impl fmt::Display for ReasonTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a close reason holds at most {} bytes, not {}", CloseFrame::MAX_REASON, self.0)
    }
}

impl core::error::Error for ReasonTooLong {}

/// Why the body of a received Close frame is malformed (RFC 6455 §5.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseFrameError {
    /// One byte: neither empty nor a code.
    Truncated,
    /// A code that no Close frame may carry.
    Code(InvalidCloseCode),
    /// A reason that is not UTF-8.
    Reason(core::str::Utf8Error),
}

impl fmt::Display for CloseFrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("Close frame with a body of one byte"),
            Self::Code(InvalidCloseCode(code)) => {
                write!(f, "Close frame with code {code}, which may not be sent")
            }
            Self::Reason(error) => {
                write!(f, "Close frame with a reason that is not UTF-8: {error}")
            }
        }
    }
}

impl core::error::Error for CloseFrameError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Truncated => None,
            Self::Code(error) => Some(error),
            Self::Reason(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// §7.4.1, §7.4.2 and IANA: exactly these codes may be on the wire.
    #[test]
    fn section_7_4_every_code() {
        for code in 0..=u16::MAX {
            let legal = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]
                .contains(&code)
                || (3000..5000).contains(&code);
            assert_eq!(CloseCode::new(code).is_ok(), legal, "{code}");
            assert_eq!(CloseCode::try_from(code).ok().map(u16::from), legal.then_some(code));
            assert_eq!(CloseFrame::decode(&code.to_be_bytes()).is_ok(), legal, "{code}");
        }
    }

    #[test]
    fn section_5_5_1_bodies() {
        assert_eq!(CloseFrame::decode(b""), Ok(None));
        assert_eq!(CloseFrame::decode(b"\x03"), Err(CloseFrameError::Truncated));
        let frame = CloseFrame::decode(b"\x03\xe8bye").unwrap().unwrap();
        assert_eq!((frame.code(), frame.reason()), (CloseCode::NORMAL, "bye"));
        assert!(matches!(CloseFrame::decode(b"\x03\xe8\xff"), Err(CloseFrameError::Reason(_))));
        // A code point cut at the end is not UTF-8 either.
        assert!(matches!(CloseFrame::decode(b"\x03\xe8\xc3"), Err(CloseFrameError::Reason(_))));
    }

    #[test]
    fn reason_limit_is_123_bytes() {
        let reason = "x".repeat(123);
        assert_eq!(CloseFrame::new(CloseCode::NORMAL, &reason).unwrap().reason(), reason);
        let long = "x".repeat(124);
        assert_eq!(CloseFrame::new(CloseCode::NORMAL, &long), Err(ReasonTooLong(124)));
    }
}
