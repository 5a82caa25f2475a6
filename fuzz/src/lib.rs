//! The bodies of the fuzz targets: plain functions of bytes, so that an ordinary test can call
//! them too. Each compares two ways to the same result and panics when they differ; it returns
//! whether the crate accepted the input, by which the test of the seeds sees that these still do
//! what their names say.

pub mod adapter_ops;
mod book;
pub mod differential;
pub mod extensions;
pub mod frame_header;
mod grammar;
mod heads;
pub mod inflate;
pub mod receive_chunked;
pub mod request_head;
pub mod response_head;
pub mod roundtrip;
#[path = "../../tests/support/all.rs"]
mod support;

use core::convert::Infallible;

/// A target: whether the crate accepted `data`.
pub type Target = fn(data: &[u8]) -> bool;

/// All of them by name, which is also the name of the binary in `Cargo.toml`, of the folder of seeds
/// and of the dictionary; a test sees to that.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame_header", frame_header::frame_header),
    ("receive_chunked", receive_chunked::receive_chunked),
    ("request_head", request_head::request_head),
    ("response_head", response_head::response_head),
    ("extensions", extensions::extensions),
    ("inflate", inflate::inflate),
    ("differential", differential::differential),
    ("roundtrip", roundtrip::roundtrip),
    ("adapter_ops", adapter_ops::adapter_ops),
];

/// The front of an input that is delivered in pieces: a byte of options and three sizes, which
/// take turns. A size is the low six bits of its byte, so that seeds can be written as text: `@` is
/// an empty piece, `A` one byte, `B` two.
struct Plan<'d> {
    options: u8,
    sizes: [usize; 3],
    stream: &'d [u8],
}

impl<'d> Plan<'d> {
    fn new(data: &'d [u8]) -> Option<Self> {
        let (&[options, ref sizes @ ..], stream) = data.split_first_chunk::<4>()?;
        let sizes = sizes.map(|byte| usize::from(byte & 0x3f));
        // Empty pieces alone would never deliver anything.
        let sizes = if sizes == [0; 3] { [1; 3] } else { sizes };
        Some(Self { options, sizes, stream })
    }

    /// The stream as it is.
    fn whole(&self) -> Vec<Vec<u8>> {
        vec![self.stream.to_vec()]
    }

    /// The stream in pieces, each in a buffer of its own.
    fn pieces(&self) -> Vec<Vec<u8>> {
        let mut rest = self.stream;
        let mut pieces = Vec::new();
        for &size in self.sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(size.min(rest.len()));
            pieces.push(piece.to_vec());
            rest = behind;
        }
        pieces
    }
}

/// A source of "random" bytes that is the same in each run: it counts.
struct Counting(u8);

impl rand::TryRng for Counting {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

/// A lie, for the sake of runs that can be repeated.
impl rand::TryCryptoRng for Counting {}
