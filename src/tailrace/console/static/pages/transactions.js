export const Transactions = { template: '<p>to come</p>' }
