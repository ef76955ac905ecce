pub const LARGEST_BODY: usize = 64 << 20;
