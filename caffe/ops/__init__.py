"""Native operators: what PyTorch lacks, in C++ and CUDA, each with a plain-torch twin.

One module per operator. Its public function checks what it is given, then takes the native path for
float32 tensors on the CPU or, if libcaffe_ops_cuda.so was built, on a GPU, and the twin (any dtype,
any device, autograd's own backward pass) for all others; all give the same numbers. csrc/ holds
both: arithmetic that C++ and CUDA share in the headers, loops in the .cpp, kernels in the .cu;
`native.py` loads them.
"""
