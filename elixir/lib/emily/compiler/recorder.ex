defmodule Emily.Compiler.Recorder do
  @moduledoc false
  # The lane on which operations are written down and not run.
  #
  # `Emily.Backend`'s callbacks end in `Emily.Backend.Call`. On this lane that appends a node to the program of the
  # segment that is open, so no operation is translated twice. A segment is a program under construction: its nodes by
  # level, one for each region within another, since what a region turns out to need from outside is still written
  # before it. The state is the process's, as the callbacks have no place for it.

  alias Emily.{Backend, Lane}
  alias Emily.Backend.Type
  alias Emily.Compiler.Value
  alias Emily.Native.Ops
  alias Nx.Tensor, as: T

  @key __MODULE__

  @results Map.new(Ops.all(), &{&1.name, &1.results})

  @doc "Runs `fun` while operations are written down; gives its result and the segments."
  def record(device, fun) do
    before = Process.put(@key, %{segments: %{}, at: nil, count: 0, notes: []})
    # Whether there may be `f64` is seen where it runs.
    lane = %Lane{worker: __MODULE__, device: device, f64: true}

    try do
      result = Lane.within(lane, fun)
      {result, Process.get(@key).segments}
    after
      if before, do: Process.put(@key, before), else: Process.delete(@key)
    end
  end

  @doc "Whether the lane is this one."
  defguard is_recording(lane) when :erlang.map_get(:worker, lane) == __MODULE__

  @doc "Whether this process writes operations down."
  def recording?, do: Process.get(@key) != nil

  @doc "A number that nothing else has."
  def number do
    state = Process.get(@key)
    Process.put(@key, %{state | count: state.count + 1})
    state.count
  end

  @doc "A new segment's number."
  def open do
    number = number()

    segment = %{
      levels: %{0 => []},
      next: 0,
      inputs: [],
      places: %{},
      constants: [],
      exports: [],
      exported: %{},
      notes: []
    }

    update(&put_in(&1.segments[number], segment))
    number
  end

  @doc "Runs `fun` with nodes going to this level of this segment."
  def at(place, fun) do
    before = Process.get(@key).at
    update(&%{&1 | at: place})
    result = fun.()
    update(&%{&1 | at: before})
    result
  end

  @doc "Writes an operation down: its results' handles."
  def apply(op, tensors, attrs) do
    operands = Enum.map(tensors, &operand/1)
    ids = fresh(Map.fetch!(@results, op))
    append({ids, op, attrs, operands})
    {segment, _level} = Process.get(@key).at
    Enum.map(ids, &%Value{of: segment, id: &1})
  end

  @doc "As many new values' numbers."
  def fresh(count) do
    {segment, _level} = Process.get(@key).at
    next = Process.get(@key).segments[segment].next
    update(&put_in(&1.segments[segment].next, next + count))
    Enum.to_list(next..(next + count - 1)//1)
  end

  @doc "Appends a node where nodes go now."
  def append(node) do
    {segment, level} = Process.get(@key).at
    update(&update_in(&1.segments[segment].levels[level], fn nodes -> [node | nodes] end))
  end

  @doc "Runs `fun`, which gives the operands that a region results in and something else, one level deeper."
  def region(fun) do
    {segment, level} = Process.get(@key).at
    # Another region of this depth may wait for what is written here.
    waiting = Process.get(@key).segments[segment].levels[level + 1]
    update(&put_in(&1.segments[segment].levels[level + 1], []))
    {results, other} = at({segment, level + 1}, fun)
    nodes = Process.get(@key).segments[segment].levels[level + 1]
    update(&put_in(&1.segments[segment].levels[level + 1], waiting))
    {{Enum.reverse(nodes), results}, other}
  end

  @doc "The operand that a tensor is where nodes go now."
  def operand(%T{data: %Backend{ref: %Value{of: of, id: id}}} = tensor) do
    case Process.get(@key).at do
      {^of, _level} -> id
      {segment, _level} -> input(segment, {of, id}, tensor)
    end
  end

  # A tensor of ours that is there already.
  def operand(%T{data: %Backend{ref: ref}} = tensor) do
    {segment, _level} = Process.get(@key).at
    input(segment, ref, tensor)
  end

  def operand(%T{type: type, shape: shape} = tensor) do
    {segment, _level} = Process.get(@key).at
    constant = {Type.to_dtype!(type, true), shape, Nx.to_binary(tensor)}
    place = number()

    update(
      &update_in(&1.segments[segment].constants, fn constants ->
        [{place, constant} | constants]
      end)
    )

    {:constant, place}
  end

  defp input(segment, key, tensor) do
    case Process.get(@key).segments[segment] do
      %{places: %{^key => place}} ->
        {:input, place}

      %{inputs: inputs, places: places} ->
        export(tensor)
        place = map_size(places)

        update(fn state ->
          state = put_in(state.segments[segment].inputs, [tensor | inputs])
          put_in(state.segments[segment].places, Map.put(places, key, place))
        end)

        {:input, place}
    end
  end

  @doc "Has a segment give this value, since something outside of it needs it."
  def export(%T{data: %Backend{ref: %Value{of: of, id: id}}} = tensor) do
    case Process.get(@key).segments do
      %{^of => %{exported: exported} = segment} when not is_map_key(exported, id) ->
        template = Nx.to_template(tensor)
        exports = [{id, template} | segment.exports]
        segment = %{segment | exports: exports, exported: Map.put(exported, id, true)}
        update(&put_in(&1.segments[of], segment))

      _segments ->
        :ok
    end
  end

  def export(_other), do: :ok

  @doc "What is told each time that the segment runs."
  def note(event, measurements, metadata) do
    {segment, _level} = Process.get(@key).at
    note = {event, measurements, metadata}
    update(&update_in(&1.segments[segment].notes, fn notes -> [note | notes] end))
  end

  defp update(fun), do: Process.put(@key, fun.(Process.get(@key)))
end
