defmodule Example.Roles do
  @moduledoc """
  A small task of classification: who does it, a person to an animal or an animal to a person.

  Of each pair of words two sentences are made, of the same words, so that what a sentence is about does not
  tell. A model that was trained on what sentences are about cannot say. Those that are held out speak of
  other persons and animals.
  """

  @seen ~w(farmer-followed-goose girl-watched-horse postman-chased-dog nurse-woke-cat
           hunter-surprised-bear boy-kicked-donkey fisherman-found-seal queen-ignored-parrot
           sailor-hit-shark baker-startled-mouse teacher-carried-turtle thief-escaped-wolf
           soldier-led-camel grandmother-greeted-hen painter-disturbed-bee tourist-pushed-elephant
           child-fed-lamb singer-missed-crow doctor-passed-fox driver-stopped-cow
           gardener-heard-owl pilot-needed-pigeon king-loved-lion student-touched-frog)

  @held_out ~w(lawyer-watched-goat waiter-chased-rat monk-followed-duck policeman-stopped-bull
               daughter-woke-puppy dancer-surprised-snake butcher-kicked-pig
               explorer-found-tiger mayor-ignored-swan shepherd-led-sheep
               professor-startled-bat maid-carried-kitten hiker-heard-eagle
               clown-pushed-monkey prince-loved-pony widow-greeted-rabbit)

  @typedoc "A sentence, and 0 where the person does it, 1 where the animal does."
  @type labelled :: {String.t(), 0 | 1}

  @doc "The 48 sentences to learn from."
  @spec seen() :: [labelled()]
  def seen, do: sentences(@seen)

  @doc "The 32 sentences to be asked about."
  @spec held_out() :: [labelled()]
  def held_out, do: sentences(@held_out)

  defp sentences(stories) do
    Enum.flat_map(stories, fn story ->
      [person, did, animal] = String.split(story, "-")
      [{"The #{person} #{did} the #{animal}.", 0}, {"The #{animal} #{did} the #{person}.", 1}]
    end)
  end
end
