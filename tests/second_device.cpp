// A second device for PyTorch, so that tests see what an operation that mixes devices does without a
// GPU: its memory is the host's, but its tensors have another device type, and every operator
// refuses a host tensor beside them, as CUDA's do. Operators compute on the CPU, on copies. See
// second_device.py.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <cstring>
#include <set>
#include <string>

namespace {

constexpr auto kSecond = c10::DeviceType::PrivateUse1;

// New memory holds NaN, so that whoever reads what nothing wrote is found out.
struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = c10::alloc_cpu(bytes);
    if (data) std::memset(data, 0xff, bytes);
    return {data, data, &c10::free_cpu, c10::Device(kSecond, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
};

Memory memory;

// One device with one stream, on which everything has ended when it returns.
struct Guard final : c10::impl::NoOpDeviceGuardImpl<kSecond> {
  c10::Device exchangeDevice(c10::Device) const override { return {kSecond, 0}; }
  c10::Device getDevice() const override { return {kSecond, 0}; }
  c10::Stream getStream(c10::Device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, {kSecond, 0});
  }
  c10::Stream getNewStream(c10::Device where, int) const override { return getStream(where); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return getStream({kSecond, 0}); }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
};

// The same memory as a tensor of the host.
at::Tensor on_host(const at::Tensor& tensor) {
  if (!tensor.is_privateuseone()) return tensor;
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(),
                       tensor.options().device(c10::kCPU).requires_grad(false));
}

c10::ScalarType type_or_default(std::optional<c10::ScalarType> type) {
  return type.value_or(c10::get_default_dtype_as_scalartype());
}

at::Tensor empty(c10::IntArrayRef sizes, std::optional<c10::ScalarType> type,
                 std::optional<c10::Layout>, std::optional<c10::Device>, std::optional<bool>,
                 std::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   type_or_default(type), format);
}

at::Tensor empty_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides,
                         std::optional<c10::ScalarType> type, std::optional<c10::Layout>,
                         std::optional<c10::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(sizes, strides, &memory,
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           type_or_default(type));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  on_host(to).copy_(on_host(from));
  return to;
}

const at::Tensor& resize(const at::Tensor& tensor, c10::IntArrayRef sizes,
                         std::optional<c10::MemoryFormat> format) {
  const at::Tensor larger = empty(sizes, tensor.scalar_type(), {}, {}, {}, format);
  tensor.unsafeGetTensorImpl()->set_storage_keep_dtype(larger.storage());
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(larger.sizes(), larger.strides());
  return tensor;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) resize(to, from.sizes(), {});
  return copy_from(from, to, false);
}

// What takes a number from the host, as a tensor without axes, on CUDA too.
bool takes_numbers(const std::string& name) {
  static const std::set<std::string> names = {"add", "sub", "rsub", "mul", "div", "pow", "fill",
                                              "eq", "ne", "lt", "le", "gt", "ge", "where",
                                              "remainder"};
  const size_t start = name.find("::") + 2;
  const size_t end = name.find_last_not_of('_');
  return names.count(name.substr(start, end + 1 - start)) > 0;
}

at::Tensor checked_on_host(const std::string& name, const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  TORCH_CHECK(tensor.is_privateuseone() || (tensor.dim() == 0 && takes_numbers(name)), name,
              ": expected all tensors on the second device, got one of shape ", tensor.sizes(),
              " on ", tensor.device());
  // An empty tensor to write to may grow, which memory of others cannot.
  return tensor.numel() ? on_host(tensor) : at::empty(tensor.sizes(), tensor.options().device(c10::kCPU));
}

at::Generator& generator() {
  static at::Generator own = at::detail::createCPUGenerator(1);
  return own;
}

c10::IValue argument_on_host(const std::string& name, const c10::Argument& argument,
                             const c10::IValue& value) {
  static const c10::TypePtr kGenerator = c10::OptionalType::create(c10::GeneratorType::get());
  if (value.isNone() && *argument.type() == *kGenerator) return generator();
  if (value.isTensor()) return checked_on_host(name, value.toTensor());
  if (value.isDevice()) return c10::Device(c10::kCPU);
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) {
      list.push_back(checked_on_host(name, tensor));
    }
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
      list.push_back(tensor ? std::make_optional(checked_on_host(name, *tensor)) : tensor);
    }
    return list;
  }
  return value;
}

at::Tensor to_second(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  const at::Tensor copy =
      empty_strided(tensor.sizes(), tensor.strides(), tensor.scalar_type(), {}, {}, {});
  return copy_from(tensor, copy, false);
}

c10::IValue result_to_second(const c10::IValue& value) {
  if (value.isTensor()) return to_second(value.toTensor());
  if (!value.isTensorList()) return value;
  c10::List<at::Tensor> list;
  for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(to_second(tensor));
  return list;
}

// Where among an operator's arguments the one is that it also returns.
size_t written(const c10::FunctionSchema& schema, const c10::Argument& result) {
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    const c10::AliasInfo* info = schema.arguments()[i].alias_info();
    if (info && *info == *result.alias_info()) return i;
  }
  TORCH_CHECK(false, schema.name(), " returns a view, which the second device does not know");
}

std::atomic<int64_t> calls{0};

void compute_on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  const std::vector<c10::IValue> given = torch::jit::pop(*stack, schema.arguments().size());
  std::vector<c10::IValue> used;
  for (size_t i = 0; i < given.size(); ++i) {
    used.push_back(argument_on_host(schema.name(), schema.arguments()[i], given[i]));
  }
  ++calls;
  stack->insert(stack->end(), used.begin(), used.end());
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  for (size_t i = 0; i < given.size(); ++i) {
    const c10::AliasInfo* info = schema.arguments()[i].alias_info();
    if (info && info->isWrite() && given[i].isTensor() && !given[i].toTensor().numel()) {
      copy_from_and_resize(used[i].toTensor(), given[i].toTensor());
    }
  }
  std::vector<c10::IValue> results = torch::jit::pop(*stack, schema.returns().size());
  for (size_t i = 0; i < results.size(); ++i) {
    const c10::Argument& result = schema.returns()[i];
    stack->push_back(result.alias_info() ? given[written(schema, result)]
                                         : result_to_second(results[i]));
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&compute_on_host>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  static Hooks hooks;
  at::RegisterPrivateUse1HooksInterface(&hooks);
  c10::SetAllocator(kSecond, &memory);
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("resize_", resize);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("unfold", at::native::unfold);
  // Without these, convolutions of a device that PyTorch does not know raise.
  m.impl("convolution", torch::CppFunction::makeFromBoxedFunction<&compute_on_host>());
  m.impl("convolution_backward", torch::CppFunction::makeFromBoxedFunction<&compute_on_host>());
}

}  // namespace

extern "C" {

// How many operators have computed on the second device so far.
int64_t second_device_calls() { return calls; }

// Its numbers of chance are not the host's.
void second_device_seed(uint64_t seed) { generator().set_current_seed(seed + 1); }
}
