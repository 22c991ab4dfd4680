//! A live view of the containers.
//!
//! `sample` asks the daemon what containers use, `model` makes rows of two samples and keeps what is
//! chosen, `draw` puts them on the screen, `keys` reads the keyboard, and `live` is the loop around them.
//! Without a terminal, `batch` prints tables.

mod batch;
mod draw;
mod keys;
mod live;
mod model;
mod sample;

pub use batch::batch;
pub use live::{Options as LiveOptions, live};
pub use model::{Model, Sort};
pub use sample::Sampler;
