//! Packages: built byte by byte, opened, damaged, and judged by readers that are not ours.

mod archives;
mod build;
mod damage;
mod disks;
mod judges;
mod ova;
mod variants;
