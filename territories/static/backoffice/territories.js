// Dragging a row onto another one leads to the page that shows what the move does; nothing is moved here.
const tree = document.getElementById("territory-tree");
let dragged = null;
const rowOf = (event) => event.target.closest("tr[data-territory]");

tree?.addEventListener("dragstart", (event) => {
  dragged = rowOf(event);
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.dataset.territory);
});
tree?.addEventListener("dragover", (event) => {
  const row = rowOf(event);
  if (!dragged || !row || row === dragged) return;
  event.preventDefault();
  for (const other of tree.querySelectorAll(".territory-target")) other.classList.remove("territory-target");
  row.classList.add("territory-target");
});
tree?.addEventListener("dragend", () => {
  for (const other of tree.querySelectorAll(".territory-target")) other.classList.remove("territory-target");
  dragged = null;
});
tree?.addEventListener("drop", (event) => {
  const row = rowOf(event);
  if (!dragged || !row || row === dragged) return;
  event.preventDefault();
  window.location.href = `${dragged.dataset.place}?to=${row.dataset.territory}`;
});
