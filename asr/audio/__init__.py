"""Audio: decoding of files, log-mel features, augmentation."""
