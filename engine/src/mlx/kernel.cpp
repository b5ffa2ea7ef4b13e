// A primitive of MLX's graph whose kernel for the CPU is a function of the engine's: src/mlx/kernel.rs.
//
// MLX evaluates it as it does its own: on the stream's thread, in order, with a buffer of MLX's for the result
// and the operands' buffers held until it is done.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "mlx/allocator.h"
#include "mlx/array.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/primitives.h"

#include "dtypes.h"

namespace mx = mlx::core;

extern "C" {

// An operand as kernel.rs knows it.
struct EmilyOperand {
  const void* data;
  const int32_t* shape;
  const int64_t* strides;
  size_t rank;
};

// What kernel.rs gives: a function with what it remembers. `run` says 0 where all went well.
struct EmilyFunction {
  void* state;
  int (*run)(const void* state, const EmilyOperand* operands, size_t count, void* result);
  void (*drop)(void* state);
};
}

namespace {

class Function {
 public:
  explicit Function(EmilyFunction function) : function_(function) {}
  Function(const Function&) = delete;
  Function& operator=(const Function&) = delete;
  ~Function() {
    function_.drop(function_.state);
  }

  int run(const std::vector<EmilyOperand>& operands, void* result) const {
    return function_.run(function_.state, operands.data(), operands.size(), result);
  }

 private:
  EmilyFunction function_;
};

// Where an operand's elements are, which is known once its own kernel has been scheduled.
struct Place {
  const void* data;
  mx::Shape shape;
  mx::Strides strides;
};

class Kernel : public mx::UnaryPrimitive {
 public:
  Kernel(mx::Stream stream, std::shared_ptr<Function> function)
      : mx::UnaryPrimitive(stream), function_(std::move(function)) {}

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) override {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    auto& encoder = mx::cpu::get_command_encoder(stream());
    std::vector<Place> places;
    places.reserve(inputs.size());
    for (const auto& input : inputs) {
      encoder.set_input_array(input);
      const void* data = input.size() > 0 ? input.data<char>() : nullptr;
      places.push_back({data, input.shape(), input.strides()});
    }
    encoder.set_output_array(out);
    void* result = out.size() > 0 ? out.data<char>() : nullptr;
    encoder.dispatch([function = function_, places = std::move(places), result] {
      std::vector<EmilyOperand> operands;
      operands.reserve(places.size());
      for (const auto& place : places) {
        operands.push_back(
            {place.data, place.shape.data(), place.strides.data(), place.shape.size()});
      }
      if (function->run(operands, result) != 0) {
        throw std::runtime_error("a kernel of Emily's panicked; please report it");
      }
    });
  }

  void eval_gpu(const std::vector<mx::array>&, mx::array&) override {
    throw std::runtime_error("a kernel of Emily's runs on the CPU only");
  }

  const char* name() const override {
    return "Emily";
  }

 private:
  std::shared_ptr<Function> function_;
};

} // namespace

// A lazy array, which the caller owns; null where there is no memory for one. The function is the
// array's from here on.
extern "C" void* emily_lazy(
    EmilyFunction given,
    const void* const* inputs,
    size_t count,
    const int32_t* shape,
    size_t rank,
    size_t dtype,
    const void* stream) noexcept {
  try {
    auto function = std::make_shared<Function>(given);
    std::vector<mx::array> arrays;
    arrays.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      arrays.push_back(*static_cast<const mx::array*>(inputs[i]));
    }
    auto primitive = std::make_shared<Kernel>(
        *static_cast<const mx::Stream*>(stream), std::move(function));
    return new mx::array(
        mx::Shape(shape, shape + rank), emily::DTYPES[dtype], std::move(primitive), std::move(arrays));
  } catch (...) {
    return nullptr;
  }
}
