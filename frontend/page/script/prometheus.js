// Prometheus' text format, as far as the server panel reads it.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{.*\})? ([-+\d.eE]+|NaN|[-+]Inf)/;

/** The sum of each metric over its labels, by name. */
export function parseMetrics(text) {
  const sums = new Map();
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (match) sums.set(match[1], (sums.get(match[1]) ?? 0) + Number(match[2]));
  }
  return sums;
}
