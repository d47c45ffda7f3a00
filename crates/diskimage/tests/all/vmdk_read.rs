//! Reading VMDKs of every kind at any place.

mod build;
mod chains;
mod stream;
