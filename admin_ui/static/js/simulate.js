// What the simulate screen adds to its form.

// A select that loads the page of what was chosen: `data-follows` names the address, the select its parameter.
document.querySelectorAll("select[data-follows]").forEach((select) => {
  const follow = () => {
    const query = select.value ? `?${new URLSearchParams({ [select.name]: select.value })}` : "";
    location.assign(select.dataset.follows + query);
  };
  select.addEventListener("change", follow);
  // A quick hand chooses before this script is there: then the page does not show what the select says.
  const shown = [...select.options].find((option) => option.defaultSelected) ?? select.options[0];
  if (select.value !== shown.value) follow();
});

// On a narrow screen the answer is below the form: bring it into view.
document.addEventListener("htmx:after:swap", () => {
  const result = document.getElementById("result");
  if (result && result.getBoundingClientRect().top > window.innerHeight * 0.7) result.scrollIntoView();
});
