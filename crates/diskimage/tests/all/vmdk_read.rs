//! Reading VMDKs of every kind at any place.

pub(crate) mod build;
mod chains;
mod corpus;
mod damage;
mod made;
mod odd;
pub(crate) mod others;
mod stream;
mod tables;
