// As much of CUDA as the kernels use, on the CPU: found in place of CUDA's own header, it runs a
// .cu file's kernels, thread by thread, as a GPU would. A block's threads are coroutines that
// change places at __syncthreads(). They take turns in an order that caffe_set_order chooses; a
// kernel whose threads do not race gives the same bits in every order.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#define __global__
#define __host__
#define __device__
#define __shared__ static

typedef int cudaError_t;
typedef void* cudaStream_t;
enum { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };

struct dim3 {
  unsigned x;
  explicit dim3(unsigned size) : x(size) {}
};

struct cudaFuncAttributes {};

namespace cuda_on_cpu {

inline unsigned& order() {
  static unsigned chosen = 0;
  return chosen;
}

struct Index {
  unsigned x;
};

struct Thread {
  ucontext_t context;
  std::vector<char> stack;
  bool ended;

  Thread() : stack(1 << 16), ended(true) {}
};

struct Block {
  std::vector<Thread> threads;
  ucontext_t scheduler;
  Index thread, block;
  void (*run)(void*);
  void* arguments;
};

inline Block& block() {
  static Block only;
  return only;
}

inline void run_thread() {
  Block& all = block();
  const unsigned mine = all.thread.x;
  all.run(all.arguments);
  all.threads[mine].ended = true;  // and on to uc_link
}

inline void run_block(const std::vector<unsigned>& turns) {
  Block& all = block();
  for (const unsigned i : turns) {
    Thread& thread = all.threads[i];
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.data();
    thread.context.uc_stack.ss_size = thread.stack.size();
    thread.context.uc_link = &all.scheduler;
    makecontext(&thread.context, run_thread, 0);
    thread.ended = false;
  }
  for (size_t ended = 0; ended < turns.size();) {
    ended = 0;
    for (const unsigned i : turns) {
      all.thread.x = i;
      swapcontext(&all.scheduler, &all.threads[i].context);
      ended += all.threads[i].ended;
    }
    if (ended > 0 && ended < turns.size()) {
      std::fprintf(stderr, "%zu threads of a block ended, the others wait for them\n", ended);
      std::abort();
    }
  }
}

inline std::vector<unsigned> turns(unsigned threads) {
  std::vector<unsigned> all(threads);
  for (unsigned i = 0; i < threads; ++i) all[i] = i;
  if (order() == 1) std::reverse(all.begin(), all.end());
  if (order() > 1) std::shuffle(all.begin(), all.end(), std::mt19937(order()));
  return all;
}

template <typename Arguments>
struct Call {
  void (*kernel)(Arguments);
  Arguments arguments;

  static void run(void* self) {
    const Call* call = static_cast<Call*>(self);
    call->kernel(call->arguments);
  }
};

}  // namespace cuda_on_cpu

#define threadIdx (cuda_on_cpu::block().thread)
#define blockIdx (cuda_on_cpu::block().block)

inline void __syncthreads() {
  cuda_on_cpu::Block& all = cuda_on_cpu::block();
  const unsigned mine = all.thread.x;
  swapcontext(&all.threads[mine].context, &all.scheduler);
}

inline void __threadfence_system() {}

inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }

inline const char* cudaGetErrorString(cudaError_t) { return "invalid configuration"; }

template <typename Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, Kernel) {
  return cudaSuccess;
}

template <typename Arguments>
cudaError_t cudaLaunchKernel(void (*kernel)(Arguments), dim3 blocks, dim3 threads, void** arguments,
                             size_t, cudaStream_t) {
  if (blocks.x == 0 || threads.x == 0 || threads.x > 1024) return cudaErrorInvalidConfiguration;
  cuda_on_cpu::Block& all = cuda_on_cpu::block();
  cuda_on_cpu::Call<Arguments> call = {kernel, *static_cast<Arguments*>(arguments[0])};
  all.run = call.run;
  all.arguments = &call;
  if (all.threads.size() < threads.x) all.threads = std::vector<cuda_on_cpu::Thread>(threads.x);
  const std::vector<unsigned> turns = cuda_on_cpu::turns(threads.x);
  for (all.block.x = 0; all.block.x < blocks.x; ++all.block.x) cuda_on_cpu::run_block(turns);
  return cudaSuccess;
}
