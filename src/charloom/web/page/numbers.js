/** Fields for numbers: what they accept, and the message where they do not. */

/** Whether a field holds a number between its limits, a whole one where its step is 1; other steps are for its arrows. */
export function inRange({ value, valueAsNumber: number, min, max, step }) {
  return value !== "" && number >= Number(min) && number <= Number(max) && (step !== "1" || Number.isInteger(number));
}

/** What is wrong with a field, as a message; null where it is in its range. */
export function mistake(input) {
  if (inRange(input)) return null;
  const [label] = input.labels;
  const values = { name: [label.dataset.text], least: Number(input.min), most: Number(input.max) };
  const fraction = input.step === "1" && !Number.isInteger(input.valueAsNumber) && input.value !== "";
  return [fraction ? "out_of_whole_range" : "out_of_range", values];
}
