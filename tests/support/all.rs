//! What the tests share. Each test binary has it as its module `support`, and so have the fuzz targets.
//!
//! The allocator of [`heap`] comes with it: every test binary counts.
#![allow(dead_code, unused_imports, reason = "each binary uses a part of it")]

#[cfg(feature = "std")]
mod adapters;
#[cfg(feature = "deflate")]
pub(crate) mod deflate;
pub(crate) mod heap;
#[cfg(feature = "tokio")]
pub(crate) mod life;
pub(crate) mod pair;
pub(crate) mod programs;
pub(crate) mod reference;
#[cfg(feature = "std")]
pub(crate) mod script;
#[cfg(feature = "tokio")]
pub(crate) mod tasks;
mod wire;

#[cfg(feature = "std")]
pub(crate) use adapters::*;
#[cfg(feature = "std")]
pub(crate) use script::{Script, Step};
pub(crate) use wire::*;
