//! What of the network a guest was granted, as plain data.

pub mod grants;
