//! Reading VMDKs of every kind at any place.

mod build;
mod chains;
mod corpus;
mod damage;
mod made;
mod odd;
mod others;
mod stream;
mod tables;
