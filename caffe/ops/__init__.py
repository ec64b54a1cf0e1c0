"""Native operators: what PyTorch lacks, in C++ with OpenMP, each with a plain-torch twin.

One module per operator. Its public function takes the native path for float32 tensors on the CPU
and the twin (any dtype, any device, autograd's own backward pass) for all others; both give the
same numbers. csrc/ holds the C++; `native.py` loads it.
"""
