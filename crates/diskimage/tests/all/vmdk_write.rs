//! Writing a stream-optimized disk to a file: over crashes, on several threads, and judged.

mod calls;
mod corpus;
mod crash;
mod judge;
mod script;
