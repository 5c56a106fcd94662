"""What holds for all tests."""

import signal

# A shell without job control starts commands in the background deaf to Ctrl-C; tests that send it must be heard.
signal.signal(signal.SIGINT, signal.default_int_handler)
