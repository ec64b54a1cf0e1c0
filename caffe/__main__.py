"""`python -m caffe` is the `caffe` command."""

import sys

from caffe.cli import main

if __name__ == "__main__":  # processes that train together import this file
    sys.exit(main())
