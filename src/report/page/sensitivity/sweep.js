for (const table of document.querySelectorAll("table.sortable")) sortable(table);
