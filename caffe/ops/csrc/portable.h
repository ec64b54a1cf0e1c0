// What lets one source serve C++ and CUDA, and one build serve old and new CPUs.
//
// The .h and .cu files keep to C++11 and to what CUDA 8 has, so that they also compile in a tree of
// that time.
#pragma once

#include <cstdint>  // any of libc's headers says whether this is glibc

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif

// Functions that caffe/ops/native.py calls.
#define EXPORTED extern "C" __attribute__((visibility("default")))

// The compiler makes one copy per instruction set and the loader picks the best the CPU has; needs
// glibc's indirect functions. Goes on leaf functions: OpenMP regions would not be copied.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__)
#define PER_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PER_CPU
#endif
