// One parameter theta; the support loss h (theta - c)^2 / 2; the query loss (theta - d)^2 / 2.
const NAMES = ["alpha", "h", "c", "d", "theta", "steps"];
const controls = Object.fromEntries(NAMES.map((name) => [name, control(name, draw)]));
const losses = new Plane(document.querySelector("#losses"), [-4, 4], [-1, 8], ["θ", "the losses of the task"]);
const outer = new Plane(document.querySelector("#outer"), [-4, 4], [-1, 8], ["θ", "the query loss after adaptation"]);
const GRID = range(-4, 4, 161);
const curves = {
  support: losses.curve("blue"),
  query: losses.curve("orange"),
  path: losses.curve("red"),
  meta: outer.curve("purple"),
  tangent: outer.curve("green"),
  first: outer.curve("grey dashed"),
};
const move = (name) => (x) => {
  controls[name].value = x;
  draw();
};
const handles = {
  c: losses.handle("c, the minimum of the support loss", "blue", "x", move("c")),
  d: losses.handle("d, the minimum of the query loss", "orange", "x", move("d")),
  theta: losses.handle("theta", "red", "x", move("theta")),
  outer: outer.handle("theta of the outer loss", "red", "x", move("theta")),
};

function draw() {
  const { alpha, h, c, d, theta, steps } = Object.fromEntries(NAMES.map((name) => [name, controls[name].value]));
  const run = (at) => programs[`maml_${steps}`](...[at, alpha, h, c, d].map((x) => Float64Array.of(x)));
  const [loss, gradient, first, factor, hessian, ...path] = run(theta).map((y) => y[0]);
  const support = (x) => (h * (x - c) ** 2) / 2;
  curves.support(GRID.map((x) => [x, support(x)]));
  curves.query(GRID.map((x) => [x, (x - d) ** 2 / 2]));
  curves.path([theta, ...path].map((x) => [x, support(x)]));
  curves.meta(GRID.map((x) => [x, run(x)[0][0]]));
  curves.tangent([-8, 8].map((x) => [x, loss + gradient * (x - theta)]));
  curves.first([-8, 8].map((x) => [x, loss + first * (x - theta)]));
  handles.c(c, 0);
  handles.d(d, 0);
  handles.theta(theta, Math.min(support(theta), 8));
  handles.outer(theta, Math.min(loss, 8));
  Object.entries({ loss, gradient, first, factor, hessian, adapted: path.at(-1) }).forEach((each) => show(...each));
  NAMES.forEach((name) => show(name, controls[name].value));
}

draw();
