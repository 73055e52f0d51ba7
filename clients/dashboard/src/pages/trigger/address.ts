/** What stands for a new trigger in the address: no slug and no id can be this. */
export const NEW = "_new";

/** Where a new trigger is made. */
export const newTriggerHref = `/triggers/${NEW}`;
