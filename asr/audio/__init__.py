"""Sound in, frames out: decoding, log-mel features, augmentation."""
