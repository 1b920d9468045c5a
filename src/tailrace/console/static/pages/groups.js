export const Groups = { template: '<p>to come</p>' }
