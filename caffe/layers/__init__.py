"""One Caffe layer type per file; the file's name is the type in snake case.

Every module here is imported when the first net is built, and registers its layer by itself.
"""
