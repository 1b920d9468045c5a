export const Settings = { template: '<p>to come</p>' }
