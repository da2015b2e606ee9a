// A select that loads the page of what was chosen: `data-follows` names the address, the select its parameter.
document.querySelectorAll("select[data-follows]").forEach((select) => {
  select.addEventListener("change", () => {
    const query = select.value ? `?${new URLSearchParams({ [select.name]: select.value })}` : "";
    location.assign(select.dataset.follows + query);
  });
});
