// A line of the last values of something.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [300, 56];

export class Sparkline {
  constructor(length) {
    this.length = length;
    this.values = [];
    this.line = document.createElementNS(SVG, "polyline");
    const attributes = { fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-linejoin": "round", "vector-effect": "non-scaling-stroke" };
    for (const [name, value] of Object.entries(attributes)) this.line.setAttribute(name, value);
    this.node = document.createElementNS(SVG, "svg");
    this.node.setAttribute("class", "sparkline");
    this.node.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.node.setAttribute("preserveAspectRatio", "none");
    this.node.setAttribute("aria-hidden", "true");
    this.node.append(this.line);
  }

  push(value) {
    this.values = [...this.values, value].slice(-this.length);
    const top = Math.max(1, ...this.values);
    const points = this.values.map((one, index) => {
      const x = WIDTH - ((this.values.length - 1 - index) * WIDTH) / (this.length - 1);
      return `${x.toFixed(1)},${(HEIGHT - 2 - (one / top) * (HEIGHT - 4)).toFixed(1)}`;
    });
    this.line.setAttribute("points", points.join(" "));
  }
}
