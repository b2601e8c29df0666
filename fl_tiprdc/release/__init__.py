"""From records to what leaves the device: the noisy channel, codes, and the coupling that makes codes independent."""
