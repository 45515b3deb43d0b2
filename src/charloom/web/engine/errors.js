/** The engine's error messages by name, so that a page can show them in another language. */

export const MESSAGES = {
  unknown_option: "there is no option {name}; there are {known}",
  number_range: "{name} is {value}; it takes a number from {least} to {most}",
  whole_range: "{name} is {value}; it takes a whole number from {least} to {most}",
  boolean_option: "{name} is {value}; it takes true or false",
  text_option: "{name} is {value}; it takes a text",
  stop_option: "stop is {value}; it takes a text or a list of texts",
  empty_stop: "a stop string is empty, so that no text could begin; leave it out",
  bias_character: "bias for {character}: it takes one character at a time",
  bias_number: "bias for {character} is {value}; it takes a number, or -Infinity to ban",
  bias_unknown: "bias: the model does not know {character}; leave it out",
  nothing_left: "ban and only leave no character to draw; loosen one of them",
  text_type: "the text is {value}; give a string",
  unknown_character: "the model does not know the character {character}; leave it out",
  needs_prompt: "the model needs some text to begin with; write a letter or more",
  state_and_condition: "a state has its condition and its source already; leave one of the two out",
  no_translation: "source: the model was not trained to translate; leave it out",
  source_missing: "the model writes what belongs to a source; give one",
  no_conditions: "condition: the model was trained without any; leave it out",
  which_condition: 'condition {value}: there are {names}; say which, such as {"{first}": …}',
  unknown_condition: "condition {name}: the model has none of this name; there are {names}",
  unknown_label: "condition {name}: the model knows no {value}; choose one of {listed}",
  array_size: "condition {name}: {count} numbers were given; it takes {size}",
  array_number: "condition {name}: the array holds what is no number",
  place: "the model's folder is {value}; give a path or a URL",
  missing_file: "{name}: there is no such file in {folder}; is it a model folder?",
  refused_file: "{name}: {status} from the server; is {folder} a model folder?",
  unreachable_file: "{name}: {folder} cannot be reached; does its server run, and allow this page to read it?",
  no_json: "{name}: this is not JSON; is {folder} a model folder?",
  format: "config.json: the format {format} is not one that this page reads; export the model again",
  cell: "config.json: the cell {cell} is not known; export the model again",
  shape: "model.safetensors: {name} is not of shape {shape}; the file is damaged, copy it again",
  type: "model.safetensors: {name} has the type {type}; export the model again",
  misfit: "model.safetensors: {name} does not fit its place; the file is damaged, copy it again",
  cut: "model.safetensors: the file is cut short; copy it again",
  header: "model.safetensors: the header cannot be read; the file is damaged, copy it again",
  scale: "model.safetensors: {name} has no scale a row; the file is damaged, copy it again",
};

/** A message with values in its {places}. */
export function fill(message, values) {
  return message.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** An error with a message of that name; it carries the name as `code`, and the values. */
export function failure(code, values = {}, Kind = RangeError) {
  return Object.assign(new Kind(fill(MESSAGES[code], values)), { code, values });
}
