// Not a module: it runs before the first paint, so that a chosen theme does not flash the other.
{
  const chosen = localStorage.getItem("uno-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
