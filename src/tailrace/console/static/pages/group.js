export const Group = { template: '<p>to come</p>' }
