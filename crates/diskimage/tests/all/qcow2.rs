//! qcow2: images written over crashes, read back, damaged, and judged by qemu-img.

mod crash;
mod damage;
mod disk;
mod foreign;
mod judge;
mod write;
